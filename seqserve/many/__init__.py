"""Any number of inputs as requests of a good size, and the answers of the inputs in order.

Why it is beside the calls that take a list: a list is one request, which is answered whole or refused whole. A run is
as many requests as it takes, some of them in flight at any time, so that the server always has enough to fill its
batches; it reads its inputs no further ahead than that, so that they may be endless; and what the server refuses for
the sake of one input hurts that input alone. So a run gives its answers one by one, each with its input, which is gone
from an iterator by then, and with the version that answered, which may change while a long run goes on.

`answers` has what a caller meets, `methods` what differs by task, `plan` what is sent and what a refusal means, `runs`
does it, in threads or in asyncio.
"""
