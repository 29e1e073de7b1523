// Typings of @wxhost/sdk. The types and functions of the package wxhost:bot say
// the same as wit/*.wit, with names in camelCase; none is null.
//
// Nothing here is asynchronous: every function answers at once.

/**
 * Makes a function the bot: `export const handler = bot((event) => { … })`.
 *
 * It is called once per event, each time in a fresh instance (with `--instances
 * per-account` in that of the last one, if it is still there). What it asks for
 * is made durable in one step after it returned; if it throws, nothing of that
 * call happens, and what it threw is shown to the people who run the bot.
 */
export function bot(onEvent: (event: Event) => void): { onEvent(event: Event): void };

/** The message, if this is one that somebody else wrote. */
export function messageOf(event: Event): Message | null;

/** The text, if this is a message of words that somebody else wrote. */
export function textOf(event: Event): string | null;

/** The host refused. Thrown by all functions of the host's interfaces. */
export class HostError extends Error {
  /**
   * "unsupported" (this account's kind of client can't do it), "bad-request",
   * "too-many" (a limit of this call), "not-found", "busy", or another word of a
   * later version.
   */
  readonly code: string;
  /** What to do about it. */
  readonly reason: string;
  /** A number when trying again later can help. */
  readonly retryAfterMs: number | null;
}

/** A bucket of the key-value store. */
export interface Bucket {
  /** The text under a key. */
  get(key: string): string | null;
  /** The bytes under a key. */
  getBytes(key: string): Uint8Array | null;
  /** Writes text or bytes under a key. */
  set(key: string, value: string | Uint8Array): void;
  /** Deletes a key. It is no error when there is none. */
  delete(key: string): void;
  /** Whether there is something under a key. */
  exists(key: string): boolean;
  /** Adds to the number under a key, which starts at 0, and returns the sum. */
  increment(key: string, delta?: number): number;
  /** All keys; read page by page as they are asked for. */
  keys(): IterableIterator<string>;
  /** The texts under those of the keys that exist. */
  getMany(keys: string[]): Record<string, string>;
  /** Writes text or bytes under several keys. */
  setMany(values: Record<string, string | Uint8Array>): void;
  /** Deletes several keys. */
  deleteMany(keys: string[]): void;
}

/** What the bot keeps from event to event: a store of its own for each account. */
export const kv: Bucket & {
  /**
   * The bucket that all accounts of this bot share, if its version was granted it
   * (`shared_bucket` in handler.toml, or `--shared-bucket`). When another account changes
   * what this call read there, the call is lost and made again: so do in one call what
   * belongs together, and read few keys.
   */
  shared(): Bucket;
};

/**
 * The bot's configuration, set by the people who run it: for all of its accounts, or for
 * the one of this call, which goes before. Some of it may be secrets: reading one throws
 * while the host can't open it.
 */
export const config: {
  /** The value of a key. */
  get(key: string): string | null;
  /** Whether a key is set to "true". */
  isOn(key: string): boolean;
  /** Every key with its value. */
  getAll(): Record<string, string>;
};

/** Where bytes come from: an address, the bytes themselves, a file that the host holds. */
export type Source = string | Uint8Array | { id: FileId };

/** Makes pieces of an outgoing message, for `chat.send`. */
export const segment: {
  /** Words. A plain string does it too. */
  text(text: string): Segment;
  /** Mentions a member of the group; the client writes the name. */
  mention(user: UserId): Segment;
  /** Mentions everybody in the group. No client can do it yet. */
  mentionAll(): Segment;
  /** A picture. */
  image(source: Source): Segment;
  /** A GIF. */
  sticker(source: Source): Segment;
  /** Spoken words (Openwx). */
  voice(source: Source): Segment;
  /** A film. */
  video(source: Source): Segment;
  /** Any other file. */
  document(source: Source): Segment;
  /** A link with a preview (WeHub). */
  link(link: Link): Segment;
  /** A mini program's card (WeHub). */
  miniProgram(miniProgram: MiniProgram): Segment;
  /** Somebody's contact card (WeHub). */
  card(user: UserId): Segment;
  /** Says which message this one answers. No client can do it yet. */
  quote(message: MessageId): Segment;
  /** A message unit in the client's own JSON. */
  raw(json: string): Segment;
};

/** A piece, pieces in their order, or plain text instead of a piece. */
export type Segments = string | Segment | (string | Segment)[];

/** The id of a person: a friend, a stranger in a group, or the account itself. */
export type UserId = string;

/** The id of a group. */
export type GroupId = string;

/** The id of a user or a group: whatever can be written to. */
export type ConversationId = string;

/** The id of a message, unique within the account. */
export type MessageId = string;

/** The id of a task, unique on the host. */
export type TaskId = string;

/** The name of a timer, chosen by the bot, unique within account and bot. */
export type TimerId = string;

/** The id of a file that the client or the host holds. */
export type FileId = string;

/** Milliseconds since 1970-01-01T00:00:00Z. Stays below 2^53. */
export type Instant = number;

/** A person's sex as the person set it. */
export type Sex =
  /** Not set or not reported. */
  | "unknown"
  /** Male. */
  | "male"
  /** Female. */
  | "female";

/** Where a person says to live. Empty text where nothing is known. */
export interface Region {
  /** The country, as the client writes it ("CN"). */
  country: string;
  /** The province. */
  province: string;
  /** The city. */
  city: string;
}

/** A person or a public account. */
export interface User {
  /** The id to write to. */
  id: UserId;
  /** The name the person chose. Empty when it is not known. */
  nickname: string;
  /** The name the account gave the person. */
  remark: string | null;
  /** The searchable account name (alias), when it is known. */
  accountName: string | null;
  /** The person's sex. */
  sex: Sex;
  /** Where the person says to live, when anything of it is known. */
  region: Region | null;
  /** The address of the person's picture. */
  avatarUrl: string | null;
  /** The line under the name (Openwx). */
  signature: string | null;
  /** Some when the client said whether the person is a friend of the account. */
  isFriend: boolean | null;
}

/** A person as a member of a group. */
export interface Member {
  /** Who. */
  user: User;
  /** The name set for this group only, when there is one. */
  groupNickname: string | null;
}

/** A group, without its members: read those with `contacts.listMembers`. */
export interface Group {
  /** The id to write to. */
  id: GroupId;
  /** The group's name. Empty when it has none. */
  name: string;
  /** Who owns it, when it is known. */
  owner: UserId | null;
  /** How many members it has, as the client said. */
  memberCount: number;
  /** The address of the group's picture. */
  avatarUrl: string | null;
}

/** Somebody or something that the account can write to. */
export type Contact =
  /** A friend. */
  | { tag: "user"; val: User }
  /** A group. */
  | { tag: "group"; val: Group }
  /** A public (official) account. */
  | { tag: "official"; val: User };

/** A file, with what is known before its bytes are. */
export interface FileInfo {
  /**
   * Give it to `chat.download`, or to `segment.image` and the like to send it on. Empty
   * when the client keeps no file (a sticker with only a `url`).
   */
  id: FileId;
  /** The name its sender gave it. */
  name: string | null;
  /** Its type, when it is known. */
  mime: string | null;
  /** Its size in bytes, when it is known. */
  size: number | null;
  /** Where to read the bytes, once they are there. */
  url: string | null;
}

/** A link with a preview. Also what other apps share. */
export interface Link {
  /** The headline. */
  title: string;
  /** The text below. */
  description: string;
  /** Where it leads. */
  url: string;
  /** The picture beside it. */
  thumbnailUrl?: string | null;
  /** The app that shared it (Openwx). */
  appName?: string | null;
}

/** An invitation to join a group: accept it with `groups.acceptInvitation` (WeHub). */
export interface GroupInvitation {
  /** Give it back to `groups.acceptInvitation`. */
  url: string;
  /** The headline shown. */
  title: string;
  /** The text below: who invites to which group. */
  description: string;
}

/** A card that opens a mini program. */
export interface MiniProgram {
  /** The headline, when it is known. */
  title: string;
  /** The card as XML: what it takes to send the same card on. */
  xml: string;
  /** The picture on the card. */
  cover?: FileInfo | null;
  /** To send: the address of the picture. */
  coverUrl?: string | null;
}

/** A place on the map. */
export interface Location {
  /** Degrees north. */
  latitude: number;
  /** Degrees east. */
  longitude: number;
  /** What is written below the map. */
  label: string;
}

/** A contact card: somebody recommends somebody. */
export interface Card {
  /** Whom, as far as the card tells. */
  user: User;
  /** The card as XML, when the client gave it (WeHub). */
  xml: string | null;
}

/** Money sent from person to person. */
export interface Transfer {
  /** Give it back to `chat.acceptTransfer`. */
  id: string;
  /** "offered", "accepted", or another word of a later version. */
  state: string;
  /** In hundredths of the currency unit, when it is known. */
  amountCents: number | null;
  /** What the sender wrote, when it is known. */
  note: string | null;
}

/** The message that another one answers. */
export interface Quote {
  /** Which message. */
  message: MessageId;
  /** Who wrote it. */
  author: UserId;
  /** What it said. */
  text: string;
}

/** What a message holds. */
export type Content =
  /** Words. Mentions are part of the text and listed in `Message.mentions`. */
  | { tag: "text"; val: string }
  /** A picture. */
  | { tag: "image"; val: FileInfo }
  /** Spoken words. */
  | { tag: "voice"; val: FileInfo }
  /** A film. */
  | { tag: "video"; val: FileInfo }
  /** Any other file. */
  | { tag: "document"; val: FileInfo }
  /** A sticker, emoji or GIF. */
  | { tag: "sticker"; val: FileInfo }
  /** A link with a preview. */
  | { tag: "link"; val: Link }
  /** An invitation to join a group. */
  | { tag: "group-invitation"; val: GroupInvitation }
  /** A mini program's card. */
  | { tag: "mini-program"; val: MiniProgram }
  /** A place on the map. */
  | { tag: "location"; val: Location }
  /** Somebody's contact card. */
  | { tag: "card"; val: Card }
  /** Money. */
  | { tag: "transfer"; val: Transfer }
  /** A grey line written by the service, e.g. "A invited B". */
  | { tag: "notice"; val: string }
  /** The message named was taken back (Openwx). */
  | { tag: "recalled"; val: MessageId }
  /** Anything else, as the client's JSON. */
  | { tag: "raw"; val: string };

/** A message that came in, or that the account itself sent elsewhere. */
export interface Message {
  /** The message's own id. */
  id: MessageId;
  /** Where it was said: the group, or the other person. Answer here. */
  conversation: ConversationId;
  /** Who wrote it. */
  author: UserId;
  /** The author's name as far as the host knows it. Empty when it does not. */
  authorName: string;
  /** Some when it was said in a group. */
  group: GroupId | null;
  /** The account itself is mentioned. */
  mentionsMe: boolean;
  /** Everybody who is mentioned, the account included. */
  mentions: UserId[];
  /** The message that this one answers, when the client tells. */
  quote: Quote | null;
  /**
   * True when the account itself wrote it, e.g. on the phone. Such messages
   * reach a bot only if it was granted `own-messages`.
   */
  outgoing: boolean;
  /** What it holds. */
  content: Content;
}

/** Somebody wants to be a friend. */
export interface FriendRequest {
  /** Give it back to `friends.accept`. */
  ticket: string;
  /** Who, as far as the request tells. */
  user: User;
  /** What the person wrote. */
  greeting: string;
  /** How the person found the account, in the client's words. */
  source: string;
}

/** Somebody became a friend. */
export interface FriendAdded {
  /** Who. */
  user: User;
  /** What the person wrote when asking. */
  greeting: string;
}

/** People came to or left a group. Their names are in `contacts.getMember`. */
export interface MembersChanged {
  /** Which group. */
  group: GroupId;
  /** Who came. */
  joined: UserId[];
  /** Who left or was removed. */
  left: UserId[];
}

/** A contact list was read. The contacts themselves are in `contacts`. */
export interface ContactsReported {
  /** How many friends. */
  users: number;
  /** How many groups. */
  groups: number;
  /** How many public accounts. */
  officials: number;
}

/** The details of a person, as asked for by `friends.refresh`. */
export interface UserInfo {
  /** Who. */
  user: User;
  /** The groups that both are in. */
  groups: GroupId[];
}

/** The answer to `friends.check` (WeHub). */
export interface FriendCheck {
  /** Whom. */
  user: UserId;
  /** "normal", "blocked-me", "deleted-me", or another word of a later version. */
  state: string;
}

/** A group has another name. */
export interface GroupRenamed {
  /** Which group. */
  group: GroupId;
  /** Its name now. */
  name: string;
  /** Its name before, when it is known. */
  previous: string | null;
}

/** A task of the account has ended. Tasks sent in an answer never tell. */
export interface TaskEnd {
  /** Which task. */
  task: TaskId;
  /** "done", "failed" or "unknown" (handed to the client, which never told). */
  state: string;
  /** Why it failed, in the client's words. */
  reason: string | null;
  /** The message that the task wrote, when the client tells. */
  message: MessageId | null;
}

/** A file was asked for with `chat.download` and is there, or will not come. */
export interface FileReady {
  /** The file, now with `url`, `mime` and `size` when it is there. */
  file: FileInfo;
  /** None when it is there, else why not. */
  failure: string | null;
}

/** A timer came due. */
export interface TimerFired {
  /** The timer's name. */
  id: TimerId;
  /** What was given to `timers.set`. */
  payload: string;
}

/**
 * What happened.
 *
 * No case will be added within 0.x.y of the same x: what is new reaches a bot
 * as `other`, with its particulars in `context.fact`.
 */
export type Happening =
  /** The account's client logged in. The account itself. */
  | { tag: "login"; val: User }
  /** The account's client logged out; why, in the client's words. */
  | { tag: "logout"; val: string }
  /** A message. */
  | { tag: "message"; val: Message }
  /** Somebody wants to be a friend. */
  | { tag: "friend-request"; val: FriendRequest }
  /** Somebody became a friend. */
  | { tag: "friend-added"; val: FriendAdded }
  /** Somebody is no friend any more. */
  | { tag: "friend-removed"; val: UserId }
  /** The account is in a new group. */
  | { tag: "group-joined"; val: Group }
  /** The account is no longer in a group. */
  | { tag: "group-left"; val: GroupId }
  /** A group has another name. */
  | { tag: "group-renamed"; val: GroupRenamed }
  /** People came to or left a group. */
  | { tag: "members-changed"; val: MembersChanged }
  /** The members of these groups were read, as asked for by `groups.refresh`. */
  | { tag: "members-reported"; val: GroupId[] }
  /** The contact list was read. */
  | { tag: "contacts-reported"; val: ContactsReported }
  /** Contacts have changed: these ids. */
  | { tag: "contacts-updated"; val: string[] }
  /** A person's details were read. */
  | { tag: "user-info"; val: UserInfo }
  /** A friendship was checked. */
  | { tag: "friend-checked"; val: FriendCheck }
  /** A file that was asked for is there, or will not come. */
  | { tag: "file-ready"; val: FileReady }
  /** A task of the account has ended. Tasks sent in an answer never tell. */
  | { tag: "task-ended"; val: TaskEnd }
  /** A timer came due. */
  | { tag: "timer"; val: TimerFired }
  /**
   * Anything else: the name of what happened. `context.raw` holds the
   * client's JSON.
   */
  | { tag: "other"; val: string };

/** Something happened to the account that the bot works for. */
export interface Event {
  /** The same when the event is delivered again. */
  id: string;
  /** The account it happened to. */
  account: UserId;
  /** When, by the client's clock if it told, else by the host's. */
  at: Instant;
  /** What. */
  what: Happening;
}

/**
 * A piece of an outgoing message. Text and mentions that follow each other
 * are joined to one message; every other piece becomes one of its own.
 */
export type Segment =
  /** Words. */
  | { tag: "text"; val: string }
  /** Mentions a member of the group; the client writes the name. */
  | { tag: "mention"; val: UserId }
  /** Mentions everybody in the group. No client can do it yet. */
  | { tag: "mention-all" }
  /** A picture. */
  | { tag: "image"; val: FileSource }
  /** A GIF. */
  | { tag: "sticker"; val: FileSource }
  /** Spoken words (Openwx). */
  | { tag: "voice"; val: FileSource }
  /** A film. */
  | { tag: "video"; val: FileSource }
  /** Any other file. */
  | { tag: "document"; val: FileSource }
  /** A link with a preview (WeHub). */
  | { tag: "link"; val: Link }
  /** A mini program's card (WeHub). */
  | { tag: "mini-program"; val: MiniProgram }
  /** Somebody's contact card (WeHub). */
  | { tag: "card"; val: UserId }
  /** Says which message this one answers. No client can do it yet. */
  | { tag: "quote"; val: MessageId }
  /** A message unit in the client's own JSON. */
  | { tag: "raw"; val: string };

/** Where the bytes of a file to send come from. */
export type FileSource =
  /** A file that the host holds. */
  | { tag: "held"; val: FileId }
  /** An address that the client can read. */
  | { tag: "url"; val: string }
  /** The bytes themselves. */
  | { tag: "bytes"; val: Uint8Array };

/** How people are brought into a group. */
export type InviteBy =
  /** They get an invitation and decide. Works for groups of any size. */
  | "invitation"
  /** They are members at once. Only in groups of up to 40 members. */
  | "adding";

/** Which contacts. */
export type ContactKind =
  /** Friends. */
  | "user"
  /** Groups. */
  | "group"
  /** Public accounts. */
  | "official";

/** Some contacts, and how to get the next. */
export interface ContactPage {
  /** The contacts. */
  items: Contact[];
  /** Give it back for the next page; none at the end. */
  next: string | null;
}

/** Some members of a group, and how to get the next. */
export interface MemberPage {
  /** The members. */
  items: Member[];
  /** Give it back for the next page; none at the end. */
  next: string | null;
}

/** A timer that is set. */
export interface Timer {
  /** Its name. */
  id: TimerId;
  /** When it comes due. */
  due: Instant;
  /** What the bot gets back with it. */
  payload: string;
}

/** What to ask. */
export interface WebRequest {
  /** "GET", "POST", … */
  method: string;
  /** http or https. */
  url: string;
  /** Names and values, in order. */
  headers?: [string, string][];
  /** None for none. */
  body?: string | Uint8Array | null;
  /** How long to wait for the whole answer, in milliseconds. */
  timeoutMs?: number | null;
}

/** What was answered. */
export interface WebResponse {
  /** The HTTP status. */
  status: number;
  /** Names and values, in order. */
  headers: [string, string][];
  /** The whole body. */
  body: Uint8Array;
}

/**
 * Messages.
 *
 * A function that answers with a task-id starts a task: the account's client
 * carries it out after the bot returned, in the order asked for. An action that
 * the account's kind of client can't do fails with the code "unsupported".
 */
export const chat: {
  /**
   * Answers with text in the conversation that the event came from. Fails with
   * "bad-request" when the event came from no conversation.
   */
  reply(text: string): TaskId;
  /** Sends to a user or a group. */
  send(conversation: ConversationId, segments: Segments): TaskId;
  /** Takes back a message that the account sent (Openwx). */
  recall(message: MessageId): TaskId;
  /** Keeps a conversation at the top of the list, or no longer (Openwx). */
  stick(conversation: ConversationId, on: boolean): TaskId;
  /** Fetches a file from the client; `file-ready` tells when it is there. */
  download(file: FileId): TaskId;
  /** Accepts money that this person offered to the account (WeHub). */
  acceptTransfer(sender: UserId, transfer: string): TaskId;
  /**
   * The client's own JSON for a task, for what has no function here. WeHub:
   * `{"task_type": …, "task_dict": {…}}`; Openwx: `{"path": …, "params": {…}}`.
   */
  performRaw(json: string): TaskId;
};

/** Groups. */
export const groups: {
  /**
   * Creates a group of these people, at least two besides the account. A name
   * can be given with Openwx; with WeHub, rename the group when it is there.
   */
  create(name: string | null, users: UserId[]): TaskId;
  /**
   * Brings people into a group. One task per person with WeHub: the last one's
   * id is returned.
   */
  invite(group: GroupId, users: UserId[], by: InviteBy): TaskId;
  /** Accepts an invitation that came as a message (WeHub). */
  acceptInvitation(url: string): TaskId;
  /**
   * Removes people from a group. One task per person with WeHub: the last
   * one's id is returned.
   */
  kick(group: GroupId, users: UserId[]): TaskId;
  /** Removes a person from every group that the account owns (WeHub). */
  kickEverywhere(user: UserId): TaskId;
  /** Gives a group another name. */
  rename(group: GroupId, name: string): TaskId;
  /** Sets the account's own name in a group (WeHub). */
  renameMe(group: GroupId, name: string): TaskId;
  /** Publishes an announcement in a group that the account owns (WeHub). */
  announce(group: GroupId, text: string): TaskId;
  /** Leaves a group (WeHub). */
  leave(group: GroupId): TaskId;
  /**
   * Has the client read the members of these groups; `members-reported` tells
   * when they are there.
   */
  refresh(groups: GroupId[]): TaskId;
};

/** Friends. */
export const friends: {
  /** Accepts the friend request that this ticket came with. */
  accept(ticket: string): TaskId;
  /** Asks a member of a group to be a friend. The group may be none with WeHub. */
  add(user: UserId, group: GroupId | null, greeting: string): TaskId;
  /** Ends a friendship (WeHub). */
  remove(user: UserId): TaskId;
  /**
   * Checks whether a friend has dropped or blocked the account; `friend-checked`
   * tells (WeHub).
   */
  check(user: UserId): TaskId;
  /** Sets the name that the account has for a person. */
  remark(user: UserId, name: string): TaskId;
  /** Reads a person's details; `user-info` tells (WeHub). */
  refresh(user: UserId): TaskId;
  /** Reads the contact list again; `contacts-reported` tells. */
  refreshAll(): TaskId;
  /**
   * Fetches a person's picture; `file-ready` tells. The group is needed when
   * the person is no friend (Openwx).
   */
  fetchAvatar(user: UserId, group?: GroupId | null): TaskId;
};

/** Tags that the client keeps for its contacts (WeHub). */
export const tags: {
  /** Puts a tag on people, creating it when it is new. */
  add(tag: string, users: UserId[]): TaskId;
  /** Takes a tag from people. */
  remove(tag: string, users: UserId[]): TaskId;
  /** Deletes a tag. */
  delete(tag: string): TaskId;
  /** Gives a tag another name. */
  rename(tag: string, to: string): TaskId;
};

/**
 * The contacts that the host has on record for the account. Lists are read in
 * pages; a page may be shorter than asked for and still have a next one.
 */
export const contacts: {
  /** One contact by id. */
  getContact(id: string): Contact | null;
  /**
   * Contacts whose name, remark or account name contains the text. Looks at
   * every contact: costs more the more there are.
   */
  findContacts(text: string, limit: number): Contact[];
  /** Contacts of one kind, or of all, ordered by id. At most 500 at a time. */
  listContacts(kind: ContactKind | null, cursor: string | null, limit: number): ContactPage;
  /**
   * The members of a group, ordered by id. At most 500 at a time. With WeHub
   * their names are there after `groups.refresh`.
   */
  listMembers(group: GroupId, cursor: string | null, limit: number): MemberPage;
  /** One member of a group. */
  getMember(group: GroupId, user: UserId): Member | null;
};

/**
 * Events in the future. A timer outlives the call that set it, and the host's restarts.
 *
 * A timer that came due is the event `timer`, and is gone, whether the bot handles it or
 * fails. While the account is logged out timers wait. The version's schedules are such
 * events too, with the id `schedule:NAME`.
 */
export const timers: {
  /**
   * Sets a timer, e.g. `timers.set("tea", Date.now() + 180_000, "green")`. Replaces the
   * one of the same name. One that is due in the past fires at once; at most 366 days
   * ahead, with at most 16 KiB of payload.
   */
  set(id: TimerId, due: Instant, payload: string): void;
  /** Cancels a timer; false when there is none of that name. */
  cancel(id: TimerId): boolean;
  /** The timers that this bot has set for this account. */
  listTimers(): Timer[];
};

/**
 * HTTP to other systems. Nobody may be called but whom a rule of the deployment
 * allows (`--allow-host`).
 */
export const web: {
  /**
   * Asks and waits. Its effects can't be undone: if the bot fails afterwards
   * and the event comes again, the request is made again. Redirects are not
   * followed: a 3xx is an answer.
   *
   * Throws a `HostError` with the code "denied" (no rule allows it; the reason says
   * which is missing), "bad-request", "unreachable", "timeout", "too-large" or
   * "too-many".
   */
  fetch(request: WebRequest): WebResponse;
};

/**
 * About the call under way. New facts are added here as functions, which keeps
 * old bots linking.
 */
export const context: {
  /** The account that the bot works for, as far as its client told. */
  me(): User;
  /** The kind of client that drives the account: "wehub" or "openwx". */
  clientKind(): string;
  /**
   * 1 for the first try of this event. Always 1 on this host: a try that was
   * cut short leaves nothing behind, not even a count.
   */
  attempt(): number;
  /** When the host will stop this call. */
  deadline(): Instant;
  /** The event as the client's JSON, whole. */
  raw(): string;
  /**
   * One particular of the event by name, for what this package has no field
   * for ("client-version", "machine-id"). None when the event has no such.
   */
  fact(name: string): string | null;
};
