/** HTTP of working together: versions, proposals, comments, rules, users. */
import type { CommentDoc, RuleDoc } from "../protocol/messages.gen";
import { ask } from "./http";

export interface Version {
  id: number;
  label: string;
  author: string;
  seq: number;
  hash: string;
  time_ns: string;
}

/** What two states of the edits say differently about one thing; ``field`` is empty for a whole prim. */
export interface Opinion {
  path: string;
  field: string;
  change: "added" | "removed" | "changed";
  before: string;
  after: string;
}

export interface Proposal {
  id: number;
  label: string;
  author: string;
  state: "open" | "merged" | "discarded";
  created_ns: string;
  closed_ns: string;
  closed_by: string;
}

export interface Comparison {
  opinions: Opinion[];
  /** ``since``: what others did, in words. */
  conflicts: (Opinion & { since: string })[];
}

/** A comment as HTTP tells it: times are text there. */
export type Comment = Omit<CommentDoc, "time_ns" | "edited_ns" | "resolved_ns"> & Record<"time_ns" | "edited_ns" | "resolved_ns", string | number>;

export interface Invitation {
  id: string;
  role: string;
  user: string;
  label: string;
  author: string;
  expires_ns: string;
  online: number;
  good: boolean;
}

/** Who the server takes one for; ``user`` is empty where people name themselves. */
export interface Me {
  role: string;
  user: string;
  label: string;
  expires_ns: string;
  /** Signed in with a password, which can be changed. */
  password: boolean;
}

/** Something that was done about access. */
export interface Audit {
  id: number;
  time_ns: string;
  actor: string;
  action: string;
  detail: string;
}

export interface Person {
  name: string;
  role: string;
}

export interface PastEdit {
  seq: number;
  session: string;
  user: string;
  label: string;
  time_ns: string;
  kind: string;
}

export const getVersions = () => ask<Version[]>("GET", "/api/versions");
export const saveVersion = (label: string, session: string) => ask<{ id: number }>("POST", "/api/versions", { label, session });
/** 0 is now, -1 the stage without edits. */
export const getDifference = (before: number, after: number) => ask<Opinion[]>("GET", `/api/versions/diff?before=${before}&after=${after}`);
export const restoreVersion = (id: number, session: string) => ask<{ seq: number }>("POST", `/api/versions/${id}/restore`, { session });

export const getProposals = () => ask<Proposal[]>("GET", "/api/proposals");
export const propose = (label: string, since: number, takeBack: boolean, session: string) =>
  ask<{ id: number }>("POST", "/api/proposals", { label, since, take_back: takeBack, session });
export const compareProposal = (id: number) => ask<Comparison>("GET", `/api/proposals/${id}`);
/** What others have changed since: the merge is refused, goes over it, or keeps it. */
export type Conflicts = "refuse" | "overwrite" | "keep";
export const mergeProposal = (id: number, conflicts: Conflicts, session: string) =>
  ask<{ seq: number }>("POST", `/api/proposals/${id}/merge`, { overwrite: conflicts === "overwrite", keep: conflicts === "keep", session });
export const discardProposal = (id: number) => ask<null>("DELETE", `/api/proposals/${id}`);
export const reopenProposal = (id: number) => ask<null>("POST", `/api/proposals/${id}/reopen`);

export const getComments = () => ask<Comment[]>("GET", "/api/comments");
export const addComment = (path: string, text: string, parent: number, session: string) =>
  ask<Comment>("POST", "/api/comments", { path, text, parent, session });
export const resolveComment = (id: number, resolved: boolean, session: string) =>
  ask<Comment>("PATCH", `/api/comments/${id}`, { resolved, session });
export const deleteComment = (id: number) => ask<null>("DELETE", `/api/comments/${id}`);

export const getRules = () => ask<RuleDoc[]>("GET", "/api/rules");
export const addRule = (path: string, field: string, role: string, users: string[]) => ask<RuleDoc>("POST", "/api/rules", { path, field, role, users });
export const deleteRule = (id: number) => ask<null>("DELETE", `/api/rules/${id}`);

export const getInvitations = () => ask<Invitation[]>("GET", "/api/access");
/** ``expires``: how long it is good [s]; 0: until it is taken back. */
export const invite = (role: string, user: string, expires: number) => ask<{ url: string }>("POST", "/api/share", { role, user, expires_s: expires });
export const revoke = (id: string) => ask<null>("DELETE", `/api/access/${id}`);
export const getPeople = () => ask<Person[]>("GET", "/api/users");
export const putPerson = (name: string, role: string, password: string) =>
  ask<Person>("PUT", `/api/users/${encodeURIComponent(name)}`, { role, password });
export const deletePerson = (name: string) => ask<null>("DELETE", `/api/users/${encodeURIComponent(name)}`);

export const getActivity = (before: number) => ask<PastEdit[]>("GET", `/api/activity?before=${before}&limit=200`);
export const getWaysIn = async () => (await ask<{ sign_in: string[] }>("GET", "/api/health")).sign_in;
export const signIn = (user: string, password: string) => ask<null>("POST", "/api/login", { user, password });
export const signOut = () => ask<null>("POST", "/api/logout");
export const getMe = () => ask<Me>("GET", "/api/me");
export const changePassword = (old: string, next: string) => ask<null>("POST", "/api/password", { old, new: next });
export const getAudit = () => ask<Audit[]>("GET", "/api/audit?limit=200");
