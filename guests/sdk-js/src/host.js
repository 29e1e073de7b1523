// The interfaces of the package wxhost:bot, with the types of each function's
// arguments by name.
import rawChat from "wxhost:bot/chat@0.1.0";
import rawContacts from "wxhost:bot/contacts@0.1.0";
import rawContext from "wxhost:bot/context@0.1.0";
import rawFriends from "wxhost:bot/friends@0.1.0";
import rawGroups from "wxhost:bot/groups@0.1.0";
import rawTags from "wxhost:bot/tags@0.1.0";
import rawTimers from "wxhost:bot/timers@0.1.0";
import rawWeb from "wxhost:bot/web@0.1.0";
import { call } from "./errors.js";
import { boolean, list, oneOf, option, request, segments, string, u32, u64 } from "./types.js";

function checked(name, raw, functions) {
  return Object.fromEntries(
    Object.entries(functions).map(([method, parameters]) => {
      const where = `${name}.${method}`;
      const types = Object.entries(parameters);
      const check = (args) =>
        types.map(([arg, type], index) => type(`${where}: ${arg}`, args[index]));
      return [method, (...args) => call(where, raw[method], check(args))];
    }),
  );
}

const strings = list(string);
const optional = option(string);

export const chat = checked("chat", rawChat, {
  reply: { text: string },
  send: { conversation: string, segments },
  recall: { message: string },
  stick: { conversation: string, on: boolean },
  download: { file: string },
  acceptTransfer: { sender: string, transfer: string },
  performRaw: { json: string },
});

export const groups = checked("groups", rawGroups, {
  create: { name: optional, users: strings },
  invite: { group: string, users: strings, by: oneOf("invitation", "adding") },
  acceptInvitation: { url: string },
  kick: { group: string, users: strings },
  kickEverywhere: { user: string },
  rename: { group: string, name: string },
  renameMe: { group: string, name: string },
  announce: { group: string, text: string },
  leave: { group: string },
  refresh: { groups: strings },
});

export const friends = checked("friends", rawFriends, {
  accept: { ticket: string },
  add: { user: string, group: optional, greeting: string },
  remove: { user: string },
  check: { user: string },
  remark: { user: string, name: string },
  refresh: { user: string },
  refreshAll: {},
  fetchAvatar: { user: string, group: optional },
});

export const tags = checked("tags", rawTags, {
  add: { tag: string, users: strings },
  remove: { tag: string, users: strings },
  delete: { tag: string },
  rename: { tag: string, to: string },
});

export const contacts = checked("contacts", rawContacts, {
  getContact: { id: string },
  findContacts: { text: string, limit: u32 },
  listContacts: { kind: option(oneOf("user", "group", "official")), cursor: optional, limit: u32 },
  listMembers: { group: string, cursor: optional, limit: u32 },
  getMember: { group: string, user: string },
});

export const timers = checked("timers", rawTimers, {
  set: { id: string, due: u64, payload: string },
  cancel: { id: string },
  listTimers: {},
});

export const web = checked("web", rawWeb, { fetch: { request } });

export const context = checked("context", rawContext, {
  me: {},
  clientKind: {},
  attempt: {},
  deadline: {},
  raw: {},
  fact: { name: string },
});
