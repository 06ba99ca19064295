"""What products post by themselves (webhooks), each read as its export is, so that both give the same events.

product   what a product must give         signing   signatures and tokens, checked
source    the `Source`, and its routes     and one module a product: slack, bigbluebutton …
"""
