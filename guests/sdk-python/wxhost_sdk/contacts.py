"""Whom the account knows. See wit/contacts.wit."""

from wit_world.imports import contacts as host

from .errors import checked

Kind = host.Kind

get_contact = checked("contacts.get_contact", host.get_contact)
find_contacts = checked("contacts.find_contacts", host.find_contacts)
list_contacts = checked("contacts.list_contacts", host.list_contacts)
list_members = checked("contacts.list_members", host.list_members)
get_member = checked("contacts.get_member", host.get_member)
