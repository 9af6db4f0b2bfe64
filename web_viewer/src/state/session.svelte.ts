/** This user's session with the server: connection, edits, presence, and where each message goes. */
import { prefetchAssets } from "../net/assets";
import * as http from "../net/http";
import { line } from "../net/line";
import { PendingEdits } from "../net/pending";
import { signIn, signOut } from "../net/together";
import { TwinSocket, type LinkState } from "../net/socket";
import { decodeFrame, isFrame } from "../protocol/frames";
import { PROTOCOL_VERSION, type ClientMessage, type Control, type Edited, type NodeStates, type Op, type Presence, type SceneDoc, type ScenePatch, type ServerMessage, type Welcome } from "../protocol/messages.gen";
import { decodeMessages, encodeMessage } from "../protocol/wire";
import { PoseStream } from "../viewer/poses";
import { Alarms } from "./alarms.svelte";
import { Bookmarks } from "./bookmarks.svelte";
import { LiveStore } from "./live.svelte";
import { Replay } from "./replay.svelte";
import { onlySetPoints, whyNot } from "./rules";
import { Then } from "./then";
import { ValuesThen } from "./values.svelte";
import { isWithin, SceneStore } from "./scene.svelte";
import { Together } from "./together.svelte";
import { Studies } from "./studies.svelte";
import { UiStore } from "./ui.svelte";
import { ViewState } from "./view.svelte";

export interface User {
  session: string;
  name: string;
  color: string;
  role: string;
  selection: string[];
  /** Position and target of the camera, stage axes [m], six numbers; empty if unknown. */
  camera: number[];
  /** Prims that they are working on just now. */
  holding: string[];
}

export interface Activity {
  key: string;
  seq: number;
  time: number;
  user: string;
  color: string;
  kind: string;
  label: string;
  paths: string[];
}

const ACTIVITY_KEPT = 300;
/** Longest message that the server takes. */
const MOST_BYTES = 8 * 2 ** 20;
/** An edit's patch follows at once; after this long the scene is fetched whole [ms]. */
const PATCH_WAIT_MS = 1500;
const PRESENCE_EVERY_MS = 120;
/** How often the server is told which frame has been taken in: it sends a busy page fewer instead of a queue. */
const SEEN_EVERY_MS = 100;

/** Marks a tab in which somebody has signed out. */
const LEFT = "twin.left";

/** This page load: tells a reconnection, which takes its session along, from a duplicate of the tab. */
const TAB = Math.random().toString(36).slice(2);

export class Session {
  readonly scene = new SceneStore();
  readonly live = new LiveStore();
  readonly ui = new UiStore();
  readonly view = new ViewState(this.scene, this.live);
  readonly livePoses = new PoseStream();
  readonly replay = new Replay(this);
  readonly then = new Then(this);
  readonly valuesThen = new ValuesThen((text) => this.problem(text));
  readonly studies = new Studies((text) => this.ui.toast("error", text));
  readonly alarms = new Alarms(this);
  readonly bookmarks = new Bookmarks(this);
  readonly pending = new PendingEdits();
  readonly together = new Together(this);

  phase = $state<"starting" | "login" | "choose" | "ready" | "failed">("starting");
  failure = $state("");
  link = $state<LinkState>("connecting");
  linkReason = $state("");
  /** The server keeps nothing any more (a full disk): edits are refused until it is started again. */
  readOnly = $state(false);
  me = $state.raw<Welcome | null>(null);
  users = $state.raw<User[]>([]);
  activity = $state.raw<Activity[]>([]);
  undoLabel = $state("");
  redoLabel = $state("");
  unconfirmed = $state(0);
  /** Raised whenever a lost connection is back: what was missed without one is to be asked for. */
  returns = $state(0);
  /** Edits that were refused: what was typed for them must give way to what holds. */
  refusals = $state(0);
  private table = { bodies: [] as string[], prototypes: [] as string[] };

  /** Told of new poses, of a moved preview, of a new id table. */
  onPoses: () => void = () => undefined;
  onPreview: (path: string, matrix: number[] | null) => void = () => undefined;
  onBodies: () => void = () => undefined;
  /** Told when goods of another time are shown. */
  onSwap: () => void = () => undefined;
  /** Told of the properties that an edit touched, to refresh what shows them. */
  onEdited: (paths: string[]) => void = () => undefined;

  private socket: TwinSocket | null = null;
  /** The newest edit whose patch is still to come. */
  private awaited = 0;
  private fetches = 0;
  /** What came while the scene was fetched: the answer may be from before it. */
  private meanwhile: ScenePatch[] = [];
  private patchTimer: ReturnType<typeof setTimeout> | undefined;
  private presence: { selection: string[]; camera: number[]; holding: string[] } = { selection: [], camera: [], holding: [] };
  private presenceTimer: ReturnType<typeof setTimeout> | undefined;
  /** The newest frame that has been taken in. */
  private frameSeen = 0;
  private seenTimer: ReturnType<typeof setTimeout> | undefined;
  /** What was kept while there was no connection has been sent: what comes now may follow it. */
  private sentAll = false;
  private previewsOf = new Map<string, Set<string>>();

  constructor() {
    this.scene.onMove((now) => {
      for (const kept of [this.pending, this.view, this.live, this.alarms, this.ui, this.studies]) kept.moved(now);
    });
  }

  get mayEdit(): boolean {
    return this.me?.role === "editor" || this.me?.role === "admin";
  }

  /** The past is read-only. */
  get canEdit(): boolean {
    return this.mayEdit && !this.replay.active;
  }

  /** Prim paths by index in the frames, of the scene that is shown. */
  get bodies(): string[] {
    return (this.then.seq === null ? this.table : this.then).bodies;
  }

  get prototypes(): string[] {
    return (this.then.seq === null ? this.table : this.then).prototypes;
  }

  /** Poses that the picture shows: those of now, or of the moment that the time bar stands at. */
  get poses(): PoseStream {
    return this.replay.active ? this.replay.poses : this.livePoses;
  }

  /** States of the nodes as the picture shows them. */
  get nodeStates(): NodeStates | null {
    return this.replay.active ? this.replay.nodes : this.live.nodes;
  }

  swapped(): void {
    this.onSwap();
  }

  show(doc: SceneDoc): void {
    this.scene.load(doc);
    prefetchAssets(this.scene.meshes());
    this.replay.tableChanged();
  }

  showNow(): void {
    void this.refetch();
    this.replay.tableChanged();
  }

  problem(text: string): void {
    this.ui.toast("warning", text);
  }

  /** Why this user may not change a property just now, in words; empty where they may. */
  whyLocked(path: string, field: string): string {
    if (this.replay.active) return "You are looking at the past: go live to edit.";
    return whyNot(this.together.rules, path, field, this.me?.role ?? "viewer", this.me?.name ?? "");
  }

  get canOperate(): boolean {
    return this.canEdit || this.me?.role === "operator";
  }

  /** Take the token from the address, fetch the scene, connect. */
  async start(): Promise<void> {
    // a link opened where the page is open already changes the address only
    window.addEventListener("hashchange", () => location.hash.includes("token=") && location.reload());
    const token = new URLSearchParams(location.hash.slice(1)).get("token");
    if (token) {
      history.replaceState(null, "", location.pathname + location.search);
      await this.login(token);
      return;
    }
    await this.open();
  }

  async login(token: string): Promise<void> {
    try {
      await http.login(token.trim());
    } catch (error) {
      this.phase = "login";
      this.failure = error instanceof http.HttpError && error.status === 401 ? "This token is not known here." : reason(error);
      return;
    }
    this.failure = "";
    await this.open();
  }

  async signIn(user: string, password: string): Promise<void> {
    try {
      await signIn(user, password);
    } catch (error) {
      this.failure = reason(error);
      return;
    }
    this.failure = "";
    await this.open();
  }

  /** For whoever uses this browser next. */
  async signOut(): Promise<void> {
    try {
      await signOut();
    } catch (error) {
      return this.ui.toast("error", `You are still signed in: ${reason(error)}`);
    }
    sessionStorage.setItem(LEFT, "yes");
    location.reload();
  }

  /** Who has signed out is not to be the one who comes in next, without having been asked. */
  get leftBySigningOut(): boolean {
    return sessionStorage.getItem(LEFT) !== null;
  }

  private async open(): Promise<void> {
    this.phase = "starting";
    try {
      this.scene.load(await http.getScene());
    } catch (error) {
      if (error instanceof http.HttpError && error.status === 409) {
        this.phase = "choose"; // no stage yet
        return;
      }
      const anonymous = error instanceof http.HttpError && (error.status === 401 || error.status === 403);
      this.phase = anonymous ? "login" : "failed";
      this.failure = anonymous ? "" : reason(error);
      return;
    }
    prefetchAssets(this.scene.meshes()); // before what the panels ask for: the picture is waited for
    this.phase = "ready";
    sessionStorage.removeItem(LEFT);
    this.connect();
    this.replay.follow();
  }

  private connect(): void {
    const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/ws`;
    this.socket?.stop();
    const socket: TwinSocket = new TwinSocket(url, {
      opened: () => this.hello(),
      message: (data) => this.receive(data),
      state: (state, _wait, why) => {
        if (this.socket !== socket) return; // of before signing in anew
        this.link = state;
        if (state !== "connecting") line.up = state !== "waiting";
        if (state !== "open") this.sentAll = false;
        this.linkReason = why;
        if (state !== "unauthorised") return;
        this.phase = "login";
        this.failure = "You are signed out: your access has ended, or somebody has taken it back or changed it.";
      },
      ping: () => this.send({ t: "ping" }),
      reach: http.reach,
    });
    line.heard = () => socket.heard();
    line.doubt = () => socket.networkChanged(navigator.onLine);
    window.ononline = () => socket.networkChanged(true);
    window.onoffline = () => socket.networkChanged(false);
    this.socket = socket;
    socket.connect();
  }

  private hello(): void {
    this.send({
      t: "hello",
      protocol: PROTOCOL_VERSION,
      name: this.ui.userName,
      session: this.me?.session ?? sessionStorage.getItem("twin.session") ?? "",
      epoch: this.scene.epoch,
      last_seq: this.scene.seq,
      tab: TAB,
      batches: true,
    });
  }

  rename(name: string): void {
    this.ui.setUserName(name);
    this.socket?.reconnect();
  }

  /** Try to connect now instead of waiting for the back-off. */
  retry(): void {
    this.socket?.retry();
  }

  private send(message: ClientMessage, lossy = false): boolean {
    return this.socket?.send(encodeMessage(message), lossy) ?? false;
  }

  // ---- from the server

  private receive(data: ArrayBuffer): void {
    if (isFrame(data)) {
      const frame = decodeFrame(data);
      if (this.livePoses.push(frame, performance.now())) this.onPoses();
      this.frameSeen = frame.number;
      this.seenTimer ??= setTimeout(() => {
        this.seenTimer = undefined;
        this.send({ t: "seen", number: this.frameSeen });
      }, SEEN_EVERY_MS);
      return;
    }
    for (const message of decodeMessages(data)) this.dispatch(message);
  }

  private dispatch(message: ServerMessage): void {
    switch (message.t) {
      case "welcome":
        return void this.welcome(message);
      case "pong":
        return;
      case "edited":
        return this.edited(message);
      case "patch":
        if (this.then.seq === null) this.scene.patch(message);
        if (this.fetches > 0) this.meanwhile.push(message);
        this.pending.applied(message.seq).forEach((path) => this.onPreview(path, null));
        if (message.seq >= this.awaited) clearTimeout(this.patchTimer);
        return;
      case "refused":
        if (message.code === "read-only") this.readOnly = true;
        return this.refused(message.opid, message.reason, message.path);
      case "undo_state":
        this.undoLabel = message.undo;
        this.redoLabel = message.redo;
        return;
      case "notice":
        if (message.level === "error") void this.checkHealth();
        return this.ui.toast(level(message.level), message.text, message.path);
      case "clock":
        return this.live.onClock(message);
      case "bodies":
        this.table = { bodies: message.bodies, prototypes: message.prototypes };
        if (this.then.seq === null) this.scene.number(message.bodies);
        this.livePoses.reset(message.version, message.bodies.length, message.slots);
        this.replay.tableChanged();
        return this.onBodies();
      case "signals":
        return this.live.onSignals(message);
      case "nodes":
        this.live.nodes = message;
        return;
      case "kpis":
        return this.live.onKpis(message.sim_time, message.values);
      case "connectors":
        this.live.connectors = message.connections;
        return;
      case "comment":
        return this.together.commented(message.comment);
      case "alarms":
        return this.alarms.changed(message.alarms);
      case "changed":
        if (message.what === "bookmarks") return this.bookmarks.changed();
        if (message.what === "limits") return this.alarms.limitsChanged();
        if (message.what === "alarms") return this.alarms.follow();
        return this.together.changed(message.what);
      case "presence":
        return this.seen(message);
      case "preview": {
        const from = message.session ?? "";
        if (from === this.me?.session) return;
        const paths = this.previewsOf.get(from) ?? new Set();
        this.previewsOf.set(from, paths.add(message.path));
        return this.onPreview(message.path, message.matrix);
      }
    }
  }

  private async welcome(welcome: Welcome): Promise<void> {
    const before = this.me;
    this.me = welcome;
    sessionStorage.setItem("twin.session", welcome.session);
    this.users = this.users.filter((u) => u.session !== welcome.session);
    this.socket?.settled();
    const same = before !== null && before.session === welcome.session && before.epoch === welcome.epoch;
    if (before && !same) this.together.offerAgain(this.pending.abandon());
    else this.together.keepOver(before === null);
    if (before) this.returns++;
    this.alarms.follow();
    this.bookmarks.changed();
    this.together.open();
    void this.checkHealth();
    if (before !== null && before.run !== welcome.run) void this.lookForNewer();
    // Another run of the server has numbered materials and prototypes anew, also where no edit was missed.
    if (!welcome.resumed || (before !== null && before.run !== welcome.run)) {
      this.meanwhile = []; // of the connection before
      await this.refetch(true);
    }
    if (this.me !== welcome) return; // there has been another one meanwhile
    for (const request of this.pending.unconfirmed()) this.send(request);
    this.sentAll = true;
    this.count();
    this.sendPresence();
  }

  private async checkHealth(): Promise<void> {
    const health = await http.getHealth().catch(() => ""); // a twin that has failed says so by itself
    this.readOnly = health === "read-only";
  }

  /** Another run of the server may be another version, with another page. */
  private async lookForNewer(): Promise<void> {
    const newer = await http.isNewer().catch(() => false); // it may be about to stop again; the next run is looked at anew
    if (newer) this.ui.toast("warning", "Twin has been updated: this page is the one from before.", "", { label: "Reload", run: () => location.reload() });
  }

  /** Fetch the scene. ``whole``: what is here does not count, however new it is. */
  async refetch(whole = false): Promise<void> {
    if (this.then.seq !== null) return; // looking back; the scene of now comes with going live
    this.fetches += 1;
    try {
      const doc = await http.getScene();
      if (!whole && doc.epoch === this.scene.epoch && doc.seq < this.scene.seq) {
        this.scene.library = doc.library; // the rest came meanwhile, and newer
        return;
      }
      this.scene.load(doc);
      for (const patch of this.meanwhile) if (patch.seq >= doc.seq) this.scene.patch(patch);
    } catch (error) {
      this.ui.toast("error", `The scene could not be fetched: ${reason(error)}`);
    } finally {
      this.fetches -= 1;
      if (this.fetches === 0) this.meanwhile = [];
    }
  }

  private edited(message: Edited): void {
    const mine = message.session === this.me?.session;
    if (mine) this.pending.confirm(message.opid, message.seq);
    this.count();
    const paths = [...new Set(message.txn.map((op) => op.path))];
    const color = mine ? (this.me?.color ?? "") : (this.users.find((u) => u.session === message.session)?.color ?? "");
    this.activity = [
      {
        key: `${message.seq}`,
        seq: message.seq,
        time: message.time_ns / 1e6,
        user: mine ? "You" : message.user,
        color,
        kind: message.kind,
        label: message.label || describe(message.txn),
        paths,
      },
      ...this.activity.filter((a) => a.seq !== message.seq),
    ].slice(0, ACTIVITY_KEPT);
    if (mine && message.skipped.length > 0) {
      this.ui.toast("warning", `Left as it is, because someone else changed it since: ${message.skipped.join(", ")}`);
    }
    const moves = message.txn.filter((op) => op.kind === "move_prim");
    if (message.seq > this.scene.seq) for (const op of moves) this.scene.moved(op.path, String(op.value));
    if (moves.length > 0) this.together.changed("comments"); // they go along
    if (!mine) this.together.told(message);
    for (const path of this.previewsOf.get(message.session) ?? []) this.onPreview(path, null);
    this.previewsOf.delete(message.session);
    this.then.edited(message.time_ns / 1e6);
    if (message.seq > this.scene.seq && this.then.seq === null) {
      this.awaited = Math.max(this.awaited, message.seq);
      clearTimeout(this.patchTimer);
      this.patchTimer = setTimeout(() => void this.refetch(), PATCH_WAIT_MS);
    }
    // what has moved is asked for by its new path, once the patch has brought it there
    this.onEdited(paths.filter((path) => !moves.some((op) => isWithin(path, op.path))));
  }

  private refused(opid: number, why: string, path: string): void {
    const request = this.pending.refuse(opid);
    this.refusals++;
    this.count();
    if (request?.t === "edit") request.txn.forEach((op) => this.onPreview(op.path, null));
    this.together.refused(request, why, path);
    this.onEdited(request?.t === "edit" ? request.txn.map((op) => op.path) : [path]);
  }

  private seen(p: Presence): void {
    const session = p.session ?? "";
    if (!session || session === this.me?.session) return;
    const others = this.users.filter((u) => u.session !== session);
    if (p.gone) {
      this.users = others;
      for (const path of this.previewsOf.get(session) ?? []) this.onPreview(path, null);
      this.previewsOf.delete(session);
      return;
    }
    const { name = "", color = "#888888", role = "", selection = [], camera = [], holding = [] } = p;
    this.users = [...others, { session, name, color, role, selection, camera, holding }].sort((a, b) => (a.session < b.session ? -1 : 1));
  }

  // ---- to the server

  /** Change the scene for everybody. ``matrices``: where prims are shown until the server's answer. */
  edit(txn: Op[], label: string, matrices?: Map<string, number[]>): void {
    if (this.replay.active) return this.ui.toast("info", "You are looking at the past: go live to edit.");
    if (!this.mayEdit && !onlySetPoints(this.together.rules, txn, this.me?.role ?? "viewer", this.me?.name ?? "")) {
      return this.ui.toast("warning", `As ${this.me?.role ?? "viewer"} you can look, but not edit.`);
    }
    const request = this.pending.edit(txn, label, this.scene.seq, matrices);
    const size = encodeMessage(request).byteLength;
    if (size > MOST_BYTES) {
      // the server would hang up on it, again with each try, and nothing after it would get there
      this.pending.refuse(request.opid);
      txn.forEach((op) => this.onPreview(op.path, null));
      return this.ui.toast("error", `"${label || describe(txn)}" was not done: it is ${(size / 2 ** 20).toFixed(1)} MiB, and an edit has ${MOST_BYTES / 2 ** 20} at most. Do it in parts.`);
    }
    this.together.hold(txn.map((op) => op.path));
    this.count();
    // never before what is still kept: the later change counts
    if (this.sentAll) this.send(request);
    else if (this.link !== "open") this.ui.toast("info", "No connection: the change is kept and sent when it is back.");
    this.together.keep();
  }

  undo(): void {
    this.stepBack("undo", this.undoLabel);
  }

  redo(): void {
    this.stepBack("redo", this.redoLabel);
  }

  private stepBack(kind: "undo" | "redo", label: string): void {
    if (!label) return this.ui.toast("info", `Nothing of yours to ${kind}.`);
    const request = this.pending.step(kind);
    if (this.sentAll) this.send(request);
    this.count();
  }

  control(action: Control["action"], value = 0): void {
    if (!this.canOperate) return this.ui.toast("warning", `As ${this.me?.role ?? "viewer"} you cannot run or pause the twin.`);
    if (!this.send({ t: "control", action, value })) this.ui.toast("warning", "No connection: the twin cannot be reached.");
  }

  preview(path: string, matrix: number[]): void {
    this.together.hold([path]);
    this.send({ t: "preview", path, matrix }, true);
  }

  /** Tell the others what is selected and where the camera is; at most every 120 ms. */
  present(part: Partial<{ selection: string[]; camera: number[]; holding: string[] }>): void {
    Object.assign(this.presence, part);
    this.presenceTimer ??= setTimeout(() => {
      this.presenceTimer = undefined;
      this.sendPresence();
    }, PRESENCE_EVERY_MS);
  }

  private sendPresence(): void {
    this.send({ t: "presence", ...this.presence }, true);
  }

  private count(): void {
    this.unconfirmed = this.pending.size;
    this.together.keep();
  }
}

const level = (text: string) => (text === "error" || text === "warning" ? text : "info");

const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** An edit in words, where its author gave none. */
function describe(txn: Op[]): string {
  const first = txn[0];
  if (!first) return "Nothing";
  const more = txn.length > 1 ? ` and ${txn.length - 1} more` : "";
  return `${first.kind.replace(/_/g, " ")} ${first.field ? `${first.field} of ` : ""}${first.path}${more}`;
}

export const session = new Session();
