// Made by twin.protocol.typescript from twin/protocol/messages.py; change it there, then run `make types`.

export const PROTOCOL_VERSION = 2;

/**
 * One change to the edit layer.
 *
 * ``kind`` is one of ``set_field block clear add_prim remove_prim move_prim set_relationship list_edit set_variant
 * apply_api set_metadata``. ``path`` is the prim; ``field`` the property, variant set, API or metadata name; ``value`` is
 * ``[sdfType, value]`` for ``set_field`` (``["double3", [1, 2, 3]]``, quaternions wxyz), a list of target paths for
 * ``set_relationship``, ``{"prepend", "append", "delete"}`` with lists of target paths for ``list_edit``,
 * ``{"type", "reference", "name"}`` for ``add_prim`` (``reference``: asset path relative to the asset root, optional),
 * the new path for ``move_prim``.
 */
export interface Op {
  kind: string;
  path: string;
  field?: string;
  value?: unknown;
}

/**
 * First message of a client. ``session`` resumes an earlier one; ``epoch`` and ``last_seq`` say what it has seen.
 *
 * ``tab`` is a random text made when the page loads and kept in memory only. A connection of the same session and tab
 * takes over from an older one that the network has left hanging; one of another tab (a duplicate) gets a session of its
 * own while the first is connected.
 */
export interface Hello {
  t: "hello";
  protocol: number;
  name?: string;
  session?: string;
  epoch?: string;
  last_seq?: number;
  tab?: string;
  batches?: boolean;
}

/** An atomic transaction; idempotent by (session, opid). ``label`` is for the activity log. */
export interface Edit {
  t: "edit";
  opid: number;
  base_seq: number;
  txn: Op[];
  label?: string;
}

/** Undo this user's own last transaction; answered like an edit. */
export interface Undo {
  t: "undo";
  opid: number;
}

export interface Redo {
  t: "redo";
  opid: number;
}

/** Where a dragged prim would be, at most 30 Hz, never journaled. ``matrix`` is the local matrix, 16 row-major. */
export interface Preview {
  t: "preview";
  path: string;
  matrix: number[];
  session?: string;
}

/**
 * Where a user looks and what is selected. The server fills ``session``, ``name``, ``color``, ``role``, ``gone``.
 *
 * ``holding`` are the prims that the user is working on now. It is advice to others, not a lock: of two who hold the same
 * prim the first keeps it until it lets go or leaves, and the server takes it from the other's list.
 */
export interface Presence {
  t: "presence";
  selection?: string[];
  camera?: number[];
  holding?: string[];
  session?: string;
  name?: string;
  color?: string;
  role?: string;
  gone?: boolean;
}

/** Drive the shared clock (operator and up): ``play pause reset step``, or ``speed`` with ``value``. */
export interface Control {
  t: "control";
  action: string;
  value?: number;
}

/**
 * The newest state frame that the client has taken in. Sent some times a second: a client that falls behind then gets
 * the newest frame when it can take one, instead of a queue of old ones. One that never sends it gets every frame.
 */
export interface Seen {
  t: "seen";
  number: number;
}

/**
 * Answered with ``pong`` at once, whatever the twin is busy with. A client that has sent one is shown to the others only
 * while it goes on sending anything at least every 15 s; one that never does, until its connection ends.
 */
export interface Ping {
  t: "ping";
}

/** The answer to ``ping``. */
export interface Pong {
  t: "pong";
}

export interface Welcome {
  t: "welcome";
  protocol: number;
  session: string;
  name: string;
  role: string;
  color: string;
  epoch: string;
  seq: number;
  project: string;
  stage: string;
  resumed: boolean;
  run: string;
}

/** An accepted transaction, to everyone and in order of ``seq``; to its author it is the acknowledgement. */
export interface Edited {
  t: "edited";
  seq: number;
  session: string;
  opid: number;
  user: string;
  label: string;
  time_ns: number;
  txn: Op[];
  kind: string;
  skipped: string[];
}

/** An edit or command that was not applied, and why. */
export interface Refused {
  t: "refused";
  opid: number;
  code: string;
  reason: string;
  path: string;
}

/** What the receiver can undo and redo: the label of the next one, or empty. */
export interface History {
  t: "undo_state";
  undo: string;
  redo: string;
}

/** Something a person should know: ``level`` is info, warning or error. */
export interface Notice {
  t: "notice";
  level: string;
  text: string;
  path: string;
}

/** A remark about a prim, or an answer to one (``parent`` is its id, else 0). Times in ns, 0 for not yet. */
export interface CommentDoc {
  id: number;
  parent: number;
  path: string;
  text: string;
  user: string;
  time_ns: number;
  edited_ns: number;
  resolved_ns: number;
  resolved_by: string;
  deleted: boolean;
}

/** A comment is new or has changed. */
export interface Commented {
  t: "comment";
  comment: CommentDoc;
}

/** Who may edit at and below a prim, or one property there: whoever has ``role`` or more, and ``users``. */
export interface RuleDoc {
  id: number;
  path: string;
  field: string;
  role: string;
  users: string[];
  note: string;
  author: string;
  time_ns: number;
}

/** A moment [ns UTC, 0 for none], a view (``camera``: position and target [m], six numbers, or empty), or both. */
export interface BookmarkDoc {
  id: number;
  text: string;
  user: string;
  time_ns: number;
  camera: number[];
  made_ns: number;
}

/** An alarm is raised where a signal is below ``low`` or above ``high`` [unit of the signal]. */
export interface LimitDoc {
  prim: string;
  name: string;
  low: number | null;
  high: number | null;
  author: string;
  time_ns: number;
}

/**
 * Something that asks or asked for attention. Times in ns UTC; ``end_ns`` 0 while it lasts, ``acked_ns`` 0 until somebody has
 * acknowledged it.
 *
 * ``kind`` is down, quality, limit, connection, residual, standstill or recording; ``severity`` error or warning; ``key`` names
 * the condition: an alarm of the same key comes again as another one. ``path`` is the prim, empty for a connection.
 */
export interface AlarmDoc {
  id: number;
  key: string;
  kind: string;
  severity: string;
  path: string;
  text: string;
  begin_ns: number;
  end_ns: number;
  acked_ns: number;
  acked_by: string;
}

/** Alarms that have begun, ended or been acknowledged, each whole. */
export interface AlarmBatch {
  t: "alarms";
  alarms: AlarmDoc[];
}

/** What is fetched by HTTP has changed: ``what`` is versions, proposals, rules, library, bookmarks, limits or alarms. */
export interface Changed {
  t: "changed";
  what: string;
}

/** State of the shared clock. ``state`` is running, paused or failed; ``rate`` is the wanted, ``achieved`` the real speed. */
export interface Clock {
  t: "clock";
  state: string;
  sim_time: number;
  rate: number;
  achieved: number;
  run: string;
  wall_time_ns: number;
}

/** What the ids of the state frames mean, sent before the first frame that needs ``version``. */
export interface BodyTable {
  t: "bodies";
  version: number;
  bodies: string[];
  prototypes: string[];
  slots: number;
}

export type SignalValue = [prim: string, name: string, value: unknown, quality: number, time_ns: number, origin: string];

/** Newest values of the signals that changed. */
export interface SignalBatch {
  t: "signals";
  values: SignalValue[];
}

/** State (NodeState) and level of every node, parallel to ``SceneDoc.nodes``. */
export interface NodeStates {
  t: "nodes";
  sim_time: number;
  state: number[];
  level: number[];
  entered: number[];
  left: number[];
}

/**
 * An item on the line: node path, item type, pieces, age [s], how far along a conveyor (0 to 1), whether its work is done,
 * how long its cycle has lasted [s], and the node it came from where an assembly wants to know.
 */
export type LineItem = [node: string, type: string, pieces: number, age_s: number, along: number, done: boolean, elapsed_s: number | null, origin: string];

/** Where every piece of the line is; kept in the pose track, for studies that begin there. Never sent to a page. */
export interface LineFound {
  t: "line";
  sim_time: number;
  items: LineItem[];
  down: Record<string, number>;
  uptime: Record<string, number>;
}

export type Kpi = [name: string, value: number | null, unit: string];

/** Key figures of the current run, line-wide and per station (names of the contract). */
export interface KpiBatch {
  t: "kpis";
  sim_time: number;
  values: Kpi[];
}

/**
 * How a connection stands. ``rate`` [samples/s]; ``lag``: how long the newest values took from their source to the twin, the
 * longest of all signals [s], None where no source tells the time; ``lost``: what came and could not be delivered.
 */
export interface ConnectorStatus {
  name: string;
  driver: string;
  state: string;
  origin: string;
  signals: number;
  good: number;
  stale: number;
  rate: number;
  error: string;
  lag: number | null;
  lost: number;
}

export interface Connectors {
  t: "connectors";
  connections: ConnectorStatus[];
}

/**
 * What an edit changed in the drawing: prims added or changed (each whole), prims gone (with all below them).
 *
 * ``materials`` is the whole list when it grew, else empty. Sent after the ``edited`` of the same ``seq``. Another one,
 * mostly empty, follows once the simulation runs with what was edited: ``nodes`` and ``signals`` are the whole lists where they
 * changed; a changed ``bodies`` table comes then too.
 *
 * ``order`` says where in the tree what is new or was looked at anew stands: by path, the name of the sibling that comes next,
 * empty for the last one. All that is below such a prim is in ``prims``, in the order of the tree; what else was known there is
 * gone. What is not named keeps its place. ``removed`` may name what the receiver never heard of.
 */
export interface ScenePatch {
  t: "patch";
  seq: number;
  prims: PrimDoc[];
  removed: string[];
  materials: MaterialDoc[];
  nodes: NodeDoc[];
  order: Record<string, string>;
  signals: SignalDoc[];
}

/**
 * What to draw at a prim.
 *
 * ``kind``: ``mesh`` (``mesh`` is the content hash of a buffer under ``/api/assets/<hash>``), or analytic ``cube``
 * (``size`` [x, y, z]), ``sphere`` (``radius``), ``cylinder``, ``cone``, ``capsule`` (``radius``, ``height``, ``axis``
 * X, Y or Z), ``plane`` (``size``, normal ``axis``), ``bounds`` (``size`` and ``center``: what cannot be drawn).
 * Curves, points and point instancers come as meshes.
 * Lengths in the prim's local stage units. ``materials`` index ``SceneDoc.materials``, one per mesh subset.
 */
export interface Geometry {
  kind: string;
  mesh?: string;
  size?: number[];
  center?: number[];
  radius?: number;
  height?: number;
  axis?: string;
  materials?: number[];
  double_sided?: boolean;
}

/** A UsdLux light: ``kind`` distant, sphere, rect, disk or dome; colour linear RGB. */
export interface Light {
  kind: string;
  intensity: number;
  color: number[];
  size?: number[];
}

/**
 * A UsdGeom camera, looking along -Z of its prim with +Y up. Vertical field of view in degrees, 0 for an orthographic one,
 * which shows ``height``. Lengths in m.
 */
export interface Camera {
  vertical_fov: number;
  aspect: number;
  near: number;
  far: number;
  height?: number;
}

/**
 * UsdPreviewSurface: colours linear RGB; textures are content hashes under ``/api/assets/<hash>``.
 *
 * ``roughness_texture`` is read from green, ``metallic_texture`` from blue, ``occlusion_texture`` from red, as in glTF.
 * ``uv`` is [rotation in degrees, scale u, scale v, translation u, translation v] of all textures, ``wrap`` repeat, clamp or
 * mirror for u and v; empty for none and repeat. What is less opaque than ``opacity_threshold`` is not drawn.
 * ``vertex_colors``: the mesh has colours of its own.
 */
export interface MaterialDoc {
  path: string;
  color?: number[];
  metallic?: number;
  roughness?: number;
  opacity?: number;
  emissive?: number[];
  color_texture?: string;
  normal_texture?: string;
  roughness_texture?: string;
  metallic_texture?: string;
  occlusion_texture?: string;
  emissive_texture?: string;
  opacity_texture?: string;
  opacity_threshold?: number;
  clearcoat?: number;
  clearcoat_roughness?: number;
  uv?: number[];
  wrap?: string[];
  vertex_colors?: boolean;
}

/**
 * A prim of the composed stage.
 *
 * ``matrix`` is the local-to-parent matrix, 16 numbers, row-major in USD's row-vector convention (translation in the
 * last row), stage units. ``body`` is its id in the state frames, -1 none. ``node`` its index in ``SceneDoc.nodes``.
 */
export interface PrimDoc {
  path: string;
  type?: string;
  schemas?: string[];
  kind?: string;
  matrix?: number[];
  visible?: boolean;
  geometry?: Geometry | null;
  light?: Light | null;
  camera?: Camera | null;
  body?: number;
  node?: number;
  edited?: boolean;
}

export interface NodeDoc {
  path: string;
  kind: string;
  next: number[];
}

export interface SignalDoc {
  prim: string;
  name: string;
  unit: string;
  role: string;
}

export interface FindingDoc {
  severity: string;
  path: string;
  code: string;
  message: string;
}

/** How goods of one prototype look: prims relative to the body frame, depth first; matrices in metres. */
export interface PrototypeDoc {
  path: string;
  type: string;
  prims: PrimDoc[];
}

/**
 * A part that can be added: ``asset`` is its path relative to the asset root; ``node`` the kind of node it is, if any.
 *
 * ``name`` is for people, ``prim`` what a prim that is made of it is called.
 */
export interface LibraryPart {
  asset: string;
  name: string;
  doc: string;
  node: string;
  prim: string;
}

/** Answer of ``GET /api/scene``. ``prims`` are depth first, parents before children. */
export interface SceneDoc {
  seq: number;
  epoch: string;
  stage: string;
  up_axis: string;
  meters_per_unit: number;
  prims: PrimDoc[];
  materials: MaterialDoc[];
  nodes: NodeDoc[];
  signals: SignalDoc[];
  prototypes: PrototypeDoc[];
  library: LibraryPart[];
  findings: FindingDoc[];
}

/** What one layer says about a property. */
export interface OpinionDoc {
  layer: string;
  value: unknown;
}

/** One property of ``GET /api/prim?path=...``. */
export interface PropertyDoc {
  name: string;
  type: string;
  value?: unknown;
  doc?: string;
  unit?: string;
  allowed?: string[];
  layer?: string;
  authored?: boolean;
  edited?: boolean;
  relationship?: boolean;
  driven?: boolean;
  low?: number | null;
  high?: number | null;
  opinions?: OpinionDoc[];
  effective?: number | null;
}

export interface PrimDetail {
  path: string;
  type: string;
  schemas: string[];
  properties: PropertyDoc[];
  variants: Record<string, string[]>;
  variant_selection: Record<string, string>;
}

/** Answer of ``GET /api/history?prim=&name=&t0_ns=&t1_ns=&points=``: columns; value null where quality is bad. */
export interface Series {
  prim: string;
  name: string;
  unit: string;
  time_ns: number[];
  value: unknown[];
  quality: number[];
}

export type ClientMessage =
  | Hello
  | Edit
  | Undo
  | Redo
  | Preview
  | Presence
  | Control
  | Seen
  | Ping;

export type ServerMessage =
  | Welcome
  | Pong
  | Edited
  | Refused
  | History
  | Notice
  | Commented
  | AlarmBatch
  | Changed
  | Clock
  | BodyTable
  | SignalBatch
  | NodeStates
  | LineFound
  | KpiBatch
  | Connectors
  | ScenePatch
  | Presence
  | Preview;
