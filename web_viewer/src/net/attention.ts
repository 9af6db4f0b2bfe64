/** HTTP of what people point out to one another: alarms, limits, bookmarks. Times are text there. */
import type { AlarmDoc, BookmarkDoc, LimitDoc } from "../protocol/messages.gen";
import { ask } from "./http";

type Times = "begin_ns" | "end_ns" | "acked_ns";
export type AlarmRow = Omit<AlarmDoc, Times> & Record<Times, string>;
export type BookmarkRow = Omit<BookmarkDoc, "time_ns" | "made_ns"> & Record<"time_ns" | "made_ns", string>;

export type LimitRow = Omit<LimitDoc, "time_ns">;

export const getAlarms = () => ask<AlarmRow[]>("GET", "/api/alarms");
/** Without ids: all. */
export const acknowledge = (ids: number[], session: string) => ask<{ acknowledged: number }>("POST", "/api/alarms/ack", { ids, session });
export const getLimits = () => ask<LimitRow[]>("GET", "/api/limits");
export const setLimit = (limit: { prim: string; name: string; low: number | null; high: number | null; session: string }) => ask<LimitRow>("PUT", "/api/limits", limit);

export const getBookmarks = () => ask<BookmarkRow[]>("GET", "/api/bookmarks");
export const addBookmark = (bookmark: { text: string; time_ns: number; camera: number[]; session: string }) => ask<BookmarkRow>("POST", "/api/bookmarks", bookmark);
export const renameBookmark = (id: number, text: string) => ask<BookmarkRow>("PATCH", `/api/bookmarks/${id}`, { text });
export const deleteBookmark = (id: number) => ask<null>("DELETE", `/api/bookmarks/${id}`);
