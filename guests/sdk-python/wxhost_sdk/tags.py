"""Tags that the client keeps for its contacts (WeHub). See wit/tags.wit."""

from wit_world.imports import tags as host

from .errors import checked

add = checked("tags.add", host.add)
remove = checked("tags.remove", host.remove)
delete = checked("tags.delete", host.delete)
rename = checked("tags.rename", host.rename)
