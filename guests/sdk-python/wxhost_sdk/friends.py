"""Friends. See wit/friends.wit for what each function does."""

from wit_world.imports import friends as host

from .errors import checked

accept = checked("friends.accept", host.accept)
add = checked("friends.add", host.add)
remove = checked("friends.remove", host.remove)
check = checked("friends.check", host.check)
remark = checked("friends.remark", host.remark)
refresh = checked("friends.refresh", host.refresh)
refresh_all = checked("friends.refresh_all", host.refresh_all)
fetch_avatar = checked("friends.fetch_avatar", host.fetch_avatar)
