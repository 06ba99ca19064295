"""Events over HTTP: CloudEvents 1.0 posted by gateways that are known by a token.

application   routes and replies          senders    who may write what, and how much
receiving     a body, within bounds       description  the OpenAPI document
source        the `Source` itself         replies    what is said: results, refusals
"""
