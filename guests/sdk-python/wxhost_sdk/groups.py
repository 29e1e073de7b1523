"""Groups. See wit/groups.wit for what each function does."""

from wit_world.imports import groups as host

from .errors import checked

InviteBy = host.InviteBy

create = checked("groups.create", host.create)
invite = checked("groups.invite", host.invite)
accept_invitation = checked("groups.accept_invitation", host.accept_invitation)
kick = checked("groups.kick", host.kick)
kick_everywhere = checked("groups.kick_everywhere", host.kick_everywhere)
rename = checked("groups.rename", host.rename)
rename_me = checked("groups.rename_me", host.rename_me)
announce = checked("groups.announce", host.announce)
leave = checked("groups.leave", host.leave)
refresh = checked("groups.refresh", host.refresh)
