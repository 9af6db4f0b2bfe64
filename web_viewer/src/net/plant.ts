/** What the server tells of the connected plant, asked while somebody looks. */
import { request } from "./line";

export interface SignalHealth {
  prim: string;
  name: string;
  connection: string;
  source: string;
  raw: unknown;
  raw_unit: string;
  value: unknown;
  unit: string;
  quality: number;
  good: boolean;
  stale: boolean;
  age_s: number | null;
  source_age_s: number | null;
  /** The mapping permits writing it, within limits. */
  writable: boolean;
}

export interface PlantHealth {
  signals: SignalHealth[];
  losses: Record<string, number>;
  /** Signals that may be written now, with the seconds left. */
  armed: { prim: string; name: string; seconds: number }[];
}

export interface Disagreement {
  prim: string;
  name: string;
  unit: string;
  plant: number;
  simulated: number;
  residual: number;
  rms: number;
  score: number | null;
  alarm_since_ns: string;
}

/** What the server says of a refusal. */
async function said(response: Response): Promise<string> {
  const body: unknown = await response.json().catch(() => null);
  const detail = body && typeof body === "object" && "detail" in body ? body.detail : "";
  return typeof detail === "string" ? detail : "";
}

const post = <T>(path: string, body: unknown) => json<T>(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

async function json<T>(path: string, init: RequestInit = {}): Promise<T> {
  const response = await request(path, init);
  if (!response.ok) throw new Error((await said(response)) || `${response.status} ${response.statusText}`);
  return (response.status === 204 ? null : await response.json()) as T;
}

export const getHealth = () => json<PlantHealth>("/api/plant");

/** `note`: why what was learned before a restart is not known any more. */
export const getResiduals = () => json<{ signals: Disagreement[]; note: string }>("/api/residuals");

export const restartConnection = (name: string) =>
  json<null>(`/api/plant/${encodeURIComponent(name)}/restart`, { method: "POST" });

export const testConnection = (name: string) =>
  json<{ answers: boolean; peer?: string; error?: string }>(`/api/plant/${encodeURIComponent(name)}/test`, { method: "POST" });

/** Permit writing a signal for a while; 0 takes it back. */
export const armSignal = (prim: string, name: string, seconds: number) => post<void>("/api/plant/arm", { prim, name, seconds });

/** Write an armed signal; `seen`: the moment that is looked at [ms UTC]. */
export const writeSignal = (prim: string, name: string, value: string | number, seen: number) =>
  post<{ quality: number; good: boolean; read_back: unknown }>("/api/plant/write", { prim, name, value, seen_ns: Math.round(seen) * 1_000_000 });

/** Call `work` now and every `ms` until the returned function is called; failures go to `failed`. */
export function poll(work: () => Promise<void>, ms: number, failed: (reason: string) => void): () => void {
  let over = false;
  let timer: ReturnType<typeof setTimeout>;
  const turn = async () => {
    try {
      await work();
      failed("");
    } catch (error) {
      failed(error instanceof Error ? error.message : String(error));
    }
    if (!over) timer = setTimeout(turn, ms);
  };
  void turn();
  return () => {
    over = true;
    clearTimeout(timer);
  };
}
