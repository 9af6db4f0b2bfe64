/** The HTTP interface of the server that sent this page. */
import type { PrimDetail, SceneDoc, Series } from "../protocol/messages.gen";
import { request } from "./line";

export class HttpError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

export interface SignalInfo {
  prim: string;
  name: string;
  unit: string;
  role: string;
  first_ns: string | number | null;
  last_ns: string | number | null;
  count: number;
}

/** The answer if it is a good one; throws what the server says otherwise. */
export async function answer(response: Response): Promise<Response> {
  if (response.ok) return response;
  const text = await response.text();
  let reason = text;
  if (response.headers.get("content-type")?.includes("json")) {
    const body: unknown = JSON.parse(text);
    if (typeof body === "object" && body !== null) {
      const { message, detail, error } = body as Record<string, unknown>;
      // what is wrong with a request's fields comes as a list
      const wrong = Array.isArray(detail) ? (detail as { msg?: unknown }[]).map((d) => String(d.msg)).join("; ") : detail;
      reason = [message, wrong, error].find((m): m is string => typeof m === "string") ?? text;
    }
  }
  throw new HttpError(response.status, reason || response.statusText);
}

const json = async <T>(path: string): Promise<T> =>
  (await (await answer(await request(path))).json()) as T;

export async function login(token: string): Promise<void> {
  await answer(
    await request("/api/login", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token }),
    }),
  );
}

export const getScene = () => json<SceneDoc>("/api/scene");

/** The scene as it was after an edit. */
export const getPastScene = (seq: number) => json<SceneDoc>(`/api/scene?seq=${seq}`);

/** The last edit at a moment [ms UTC], and from when until when it was the last; "0": it still is. */
export const getEditsAt = (time: number) => json<{ seq: number; from_ns: string; until_ns: string }>(`/api/edits/at?t_ns=${nsOf(time)}`);

/** The last sample of every signal at a moment [ms UTC]. */
export const getValuesAt = (time: number) =>
  json<{ prim: string; name: string; value: number | string | boolean | null; quality: number; time_ns: string; origin: string }[]>(`/api/history/at?t_ns=${nsOf(time)}`);

/** ``seq``: as it was after that edit. */
export const getPrim = (path: string, seq: number | null = null) => json<PrimDetail>(`/api/prim?path=${encodeURIComponent(path)}${seq === null ? "" : `&seq=${seq}`}`);

/** What the physics did in its last step; rows of numbers one after the other. */
export interface PhysicsDoc {
  sim_time: number;
  contacts: { point: number[]; normal: number[]; impulse: number[] };
  bodies: { position: number[]; rotation: number[]; half: number[]; island: number[]; asleep: number[] };
  left_out: number;
}

export const getPhysics = () => json<PhysicsDoc>("/api/physics");

/** Prims as text for the clipboard. */
export const getClip = async (paths: string[]): Promise<string> =>
  JSON.stringify(await json<unknown>(`/api/clip?${paths.map((p) => `path=${encodeURIComponent(p)}`).join("&")}`));

/** Whether the server answers at all, right now. */
export const reach = (signal: AbortSignal): Promise<unknown> => fetch("/api/health", { cache: "no-store", signal });

export const getHealth = async (): Promise<string> => (await json<{ status: string }>("/api/health")).status;

/** Whether the server has another page than this one: what a page is made of is named after its content. */
export async function isNewer(): Promise<boolean> {
  const own = document.querySelector('script[type="module"][src]')?.getAttribute("src");
  const page = await (await answer(await fetch("/", { cache: "no-cache" }))).text();
  return own != null && !page.includes(own);
}

export interface ChoiceRow {
  id: string;
  name: string;
  doc: string;
  problem: string;
  picture: boolean;
}

/** What can be opened where no stage was named. */
export const getChoices = () => json<{ choices: ChoiceRow[]; folder: string }>("/api/choices");

/** Open one by its id, or begin one by its name. */
export const openChoice = (what: { id?: string; name?: string }) => send<{ stage: string; token: string }>("POST", "/api/open", what);

/** Add a file to the library of parts; ``unit`` and ``up`` are those of a mesh. ``sent`` is told the share that has been sent. */
export function uploadPart(file: File, unit: string, up: string, sent: (share: number) => void): Promise<{ asset: string; prims: number; low?: number[] }> {
  const query = new URLSearchParams({ name: file.name, unit, up });
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch does not say how far it is
    request.upload.onprogress = (event) => sent(event.lengthComputable ? event.loaded / event.total : 0);
    request.upload.onload = () => sent(1);
    request.onerror = () => reject(new Error("the connection broke off"));
    request.onload = () => {
      const headers = { "Content-Type": request.getResponseHeader("Content-Type") ?? "" };
      answer(new Response(request.responseText, { status: request.status, headers }))
        .then((response) => response.json() as Promise<{ asset: string; prims: number; low?: number[] }>)
        .then(resolve, reject);
    };
    request.open("POST", `/api/uploads?${query}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.send(file);
  });
}

export interface LayerRow {
  name: string;
  path: string;
  role: string;
  prims: number;
  doc: string;
}

export interface VariantRow {
  path: string;
  set: string;
  selection: string;
  choices: string[];
}

/** What the stage is composed of, strongest first. */
export const getLayers = () => json<{ layers: LayerRow[]; variants: VariantRow[] }>("/api/layers");

/** How a part of the library looks: prims and materials. */
export const getPart = (asset: string) => json<SceneDoc>(`/api/part?${new URLSearchParams({ asset })}`);

export const getSignals = () => json<SignalInfo[]>("/api/signals");

const nsOf = (ms: number): string => String(BigInt(Math.floor(ms * 1000)) * 1000n);

/** Nanoseconds UTC, a decimal string where a number could not hold them, as milliseconds. */
export const msOfNs = (ns: string | number): number =>
  typeof ns === "string" ? Number(BigInt(ns) / 1000n) / 1000 : ns / 1e6;

/** History of one signal between two times [ms UTC], about ``points`` rows, and the row before, which holds at the beginning. */
export async function getHistory(
  prim: string,
  name: string,
  t0: number,
  t1: number,
  points: number,
): Promise<{ time: number[]; value: unknown[]; quality: number[] }> {
  const query = new URLSearchParams({ prim, name, t0_ns: nsOf(t0), t1_ns: nsOf(t1), points: String(points), before: "true" });
  const series = await json<Omit<Series, "time_ns"> & { time_ns: (string | number)[] }>(`/api/history?${query}`);
  return { time: series.time_ns.map(msOfNs), value: series.value, quality: series.quality };
}

export interface TrackChunk {
  id: string;
  begin_ns: string;
  end_ns: string;
  bytes: number;
}

export interface TrackIndex {
  begin_ns: string;
  end_ns: string;
  /** When the twin was up. */
  runs: [string, string][];
  chunks: TrackChunk[];
  /** There are more chunks than are named. */
  more: boolean;
  lost: number;
}

/** What of the pose track is kept between two times [ms UTC], and the chunk before. */
export const getTrack = (t0: number, t1: number) => json<TrackIndex>(`/api/track?${new URLSearchParams({ from: nsOf(t0), to: nsOf(t1) })}`);

export async function getTrackChunk(id: string): Promise<ArrayBuffer> {
  return (await answer(await request(`/api/track/${id}`))).arrayBuffer();
}

export interface StudyEntry {
  id: string;
  name: string;
  created_ns: number;
  state: "queued" | "running" | "done" | "cancelled" | "failed";
  error: string;
  expected: number;
  done: number;
  label: string;
  points: number;
  /** It begins with an empty line, or with the line as it stood then. */
  start: "empty" | "now";
}

export interface StudyFigure {
  mean: number | null;
  half_width: number | null;
  unit: string;
}

export interface StudyDifference {
  difference: number | null;
  half_width: number | null;
  significant: boolean | null;
  unit: string;
}

interface PointName {
  scenario: string;
  parameters: Record<string, unknown>;
}

/** A station in the order in which stations hold the line back; shares of time. */
export interface StudyBottleneck {
  path: string;
  active: number;
  blocked: number;
  starved: number;
  waiting_crew: number;
  arrows_end_here: boolean;
}

export interface StudyPoint extends PointName {
  replications: number;
  bottlenecks?: StudyBottleneck[];
  kpis: Record<string, StudyFigure>;
  error: string | null;
}

export interface StudyDocument extends StudyEntry {
  report: boolean;
  summary: {
    kpis: string[];
    horizon_s: number;
    warmup_s: number | null;
    /** "empty", or the moment (ISO) that the line was found at, and how many items stood on it. */
    start: "empty" | { time: string; items: number };
    /** Values that scenarios set, by attribute. */
    sets?: Record<string, Record<string, unknown>>;
    points: StudyPoint[];
    comparisons: (PointName & { reference: PointName; kpis: Record<string, StudyDifference> })[];
    warnings: string[];
  } | null;
}

/** What a study begins with: an empty line, or the line as it stands when the study is asked for. */
export type StudyStart = "empty" | "now";

export interface StudyRequest {
  name: string;
  start: StudyStart;
  sweep: Record<string, (number | string | boolean)[]>;
  scenarios?: Record<string, { set?: Record<string, number> }>;
  run: { horizon: string; warmup: string; seed: number };
  replications: number;
  kpis: string[];
}

export const getStudies = () => json<StudyEntry[]>("/api/studies");

export const getStudy = (id: string) => json<StudyDocument>(`/api/studies/${id}`);

/** Any request; null where the answer is empty. */
export async function ask<T>(method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE", path: string, body?: unknown): Promise<T> {
  const headers = body === undefined ? undefined : { "Content-Type": "application/json" };
  const response = await answer(await request(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) }));
  return (response.status === 204 ? null : await response.json()) as T;
}

async function send<T>(method: "POST" | "DELETE", path: string, body?: unknown): Promise<T> {
  const headers = body === undefined ? undefined : { "Content-Type": "application/json" };
  const response = await request(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  return (await (await answer(response)).json()) as T;
}

export const addStudy = (request: StudyRequest) => send<{ id: string }>("POST", "/api/studies", request);
export const runStudyAgain = (id: string) => send<{ id: string }>("POST", `/api/studies/${id}/run`);
/** End a study that runs; take one that does not off the list. */
export const deleteStudy = (id: string) => send<{ state: "stopping" | "removed" }>("DELETE", `/api/studies/${id}`);
