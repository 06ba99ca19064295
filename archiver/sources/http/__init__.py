"""Events over HTTP: CloudEvents 1.0 posted by gateways that are known by a token.

application   routes of events            senders    who may write what, and how much
reception     what every way in by HTTP shares
receiving     a body, within bounds       description  the OpenAPI document
source        the `Source` itself         replies    what is said: results, refusals
"""
