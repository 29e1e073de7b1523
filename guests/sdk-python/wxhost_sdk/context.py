"""The call itself: whose it is, and how long it may take. See wit/context.wit."""

from wit_world.imports import context as host

me = host.me
client_kind = host.client_kind
attempt = host.attempt
deadline = host.deadline
raw = host.raw
fact = host.fact
