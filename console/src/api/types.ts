// The documents of /api/v1, as the server writes them (snake_case, times RFC 3339 in UTC).

export type Verdict = 'allowed' | 'denied' | 'would_deny' | 'unknown';
export type Role = 'viewer' | 'author' | 'operator';
export type Grouping = 'namespace' | 'workload' | 'pod' | 'process';

export interface Session {
  name: string;
  role: Role;
  namespaces: string[] | null;
  expires: string | null;
  version: string;
}

export interface Window {
  from: string;
  to: string;
}

export type NextKind = 'problems' | 'agents' | 'gaps' | 'denied' | 'would_deny' | 'apply' | 'recommend' | 'new_edges';

export interface Next {
  kind: NextKind;
  /** How many it is about. */
  count: number;
}

export interface Summary {
  window: Window;
  completeness: number;
  gaps: string[];
  workloads: { total: number; no_policy: number; staged: number; enforced: number };
  connections: Record<Verdict, number>;
  new_edges: number;
  agents: { total: number; healthy: number };
  problems: string[];
  next: Next[];
}

export type AreaKind = 'cluster' | 'namespace' | 'external' | 'host';
export type GlyphState = 'no_policy' | 'staged' | 'enforced' | 'external' | 'unknown';

export interface Area {
  id: string;
  parent: string | null;
  kind: AreaKind;
  name: string;
  x: number;
  y: number;
  w: number;
  h: number;
  nodes: number;
}

export interface Glyph {
  id: string;
  area: string;
  kind: string;
  name: string;
  namespace: string;
  x: number;
  y: number;
  r: number;
  pods: number;
  /** Nodes it stands for, where it stands for several; else 0. */
  folded: number;
  state: GlyphState;
  labels: Record<string, string>;
}

export interface ScenePort {
  protocol: string;
  port: number;
}

export interface SceneEdge {
  id: string;
  source: string;
  destination: string;
  verdict: Verdict;
  ports: ScenePort[];
  rows: number;
  connections: number;
  bytes: number;
  resets: number;
  first_seen: string;
  last_seen: string;
  direction_inferred: boolean;
  loss: boolean;
}

export interface Partial {
  glyphs_shown: number;
  glyphs_total: number;
  edges_shown: number;
  edges_total: number;
}

export interface Scene {
  window: Window;
  completeness: number;
  gaps: string[];
  generation: string;
  x: number;
  y: number;
  width: number;
  height: number;
  areas: Area[];
  glyphs: Glyph[];
  edges: SceneEdge[];
  partial: Partial | null;
}

export interface Bucket {
  at: string;
  allowed: number;
  would_deny: number;
  denied: number;
  unknown: number;
  lost: boolean;
}

export interface Timeline {
  window: Window;
  step_s: number;
  buckets: Bucket[];
}

export interface MapNode {
  id: string;
  cluster?: string;
  kind: string;
  namespace: string;
  name: string;
  labels: Record<string, string>;
  party: 'pod' | 'service' | 'host' | 'node' | 'external' | 'unknown';
  pods: number;
  process?: string;
}

export interface MapEdge {
  source: string;
  destination: string;
  protocol: string;
  port: number;
  verdict: Verdict;
  processes: { source: string | null; destination: string | null }[];
  connections: number;
  bytes_sent: number;
  bytes_received: number;
  packets_sent: number;
  packets_received: number;
  resets: number;
  first_seen: string;
  last_seen: string;
  services: string[];
  dns_names: string[];
  decided_by: string[];
  reporters: { source: boolean; destination: boolean; datapath: boolean };
  direction_inferred: boolean;
  loss: boolean;
}

export interface DecidedBy {
  policy: string;
  rule: number | null;
  direction: 'ingress' | 'egress';
}

export interface EdgeAnswer {
  window: Window;
  completeness: number;
  source: MapNode;
  destination: MapNode;
  rows: MapEdge[];
  first_seen: string;
  last_seen: string;
  /** Policies and rules that denied or would deny some of it. */
  decided_by: string[];
}

export interface MapDiff {
  added: MapEdge[];
  removed: MapEdge[];
  changed: { before: MapEdge[]; after: MapEdge[] }[];
  unchanged: number;
}

export interface Party {
  kind: MapNode['party'];
  workload: { namespace: string; name: string; kind: string };
  pod: string;
  labels: Record<string, string>;
  address: string | null;
  dns_name: string | null;
}

export interface Process {
  exe: string;
  comm: string;
  uid: number;
  container: string | null;
}

export interface Flow {
  /** Ascends with each flow; a page has it, a stream may not. */
  number?: number;
  key: {
    source: Party;
    source_process?: Process | null;
    destination: Party;
    destination_process?: Process | null;
    protocol: string;
    port: number;
    verdict: Verdict | 'dropped';
    decided_by?: DecidedBy | null;
  };
  drop_reason?: string;
  node?: string;
  source: string;
  destination: string;
  opened?: string;
  stats: {
    connections: number;
    bytes_sent: number;
    bytes_received: number;
    resets: number;
    first_seen: string;
    last_seen: string;
    loss: boolean;
  };
}

export interface FlowPage {
  flows: Flow[];
  /** For `before` of the next page; null at the end of what is kept. */
  next: number | null;
}

export interface WorkloadAnswer {
  id: string;
  window: Window;
  completeness: number;
  namespace: string;
  name: string;
  kind: string;
  labels: Record<string, string>;
  state: GlyphState;
  pods: { name: string; addresses: string[]; node: string | null; images: string[] }[];
  inbound: MapEdge[];
  outbound: MapEdge[];
  policies: { namespace: string; name: string; state: string; directions: string[] }[];
}

export interface Confidence {
  score: number;
  reasons: string[];
  hours_seen: number;
  watched_s: number;
}

export interface RuleEvidence {
  direction: 'ingress' | 'egress';
  rule: number;
  connections: number;
  edges: string[];
  processes: string[];
  first_seen: string;
  last_seen: string;
}

export interface PolicyObject {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string; annotations?: Record<string, string> };
  spec: Record<string, unknown>;
}

export interface ProposedPolicy {
  confidence: Confidence;
  policy: PolicyObject;
  rules: RuleEvidence[];
  workloads: string[];
}

export interface PolicyFile {
  name: string;
  text: string;
}

export interface Recommendations {
  window: Window;
  completeness: number;
  policies: ProposedPolicy[];
  default_deny: PolicyObject[];
  notes: { kind: string; subject: string; text: string }[];
  /** The same policies as text, one file for each namespace, with their evidence as comments. */
  files?: PolicyFile[];
}

export type ChangeClass = 'would_block' | 'newly_allowed' | 'unchanged' | 'uncertain';

export interface JudgedEdge {
  source: string;
  destination: string;
  protocol: string;
  port: number;
  class: ChangeClass;
  before: Verdict;
  after: string;
  decided_by: DecidedBy | null;
  connections: number;
  first_seen: string;
  last_seen: string;
  reason: string;
  may_block: boolean;
  accepted: boolean;
}

export interface Report {
  window: Window;
  completeness: number;
  summary: Record<ChangeClass, number>;
  edges: JudgedEdge[];
  verified: boolean;
}

export interface Applied {
  report: Report | null;
  /** Null: refused, and nothing has changed. */
  revision: number | null;
  unenforced: string[];
  nodes: string[];
  pending: string[];
}

export interface Revision {
  revision: number;
  time: string;
  mode: string;
  operator: string;
  restores: number | null;
  policies: number;
  current: boolean;
}

export interface PolicyRow {
  namespace: string;
  name: string;
  kind: string;
  state: 'enforced' | 'staged';
  /** Null for kinds that the server does not print. */
  yaml: string | null;
}

export interface Hook {
  hook: string;
  produced: number;
  delivered: number;
  dropped: number;
}

export interface AgentStatus {
  node: string;
  first_heard: string;
  last_heard: string;
  shed: number;
  hooks: Hook[];
  report: {
    version: string;
    kernel: string;
    error: string;
    tiers: string[];
    memory_bytes: number;
    drops: [string, number][];
    tampered: number;
  } | null;
}

export interface Status {
  cluster_name: string;
  version: string;
  time: string;
  started: string;
  agents: AgentStatus[];
  completeness: number;
  gaps: string[];
  flows: number;
  revision: number;
  staged: number;
  objects: number;
  store: { bytes: number; segments: number; hot_rows: number; degraded: string };
  memory_bytes: number;
  problems: string[];
  enforcement: string;
}

export interface Token {
  name: string;
  role: Role;
  namespaces: string[] | null;
  created_by: string;
  created: string;
  expires: string | null;
}

/** What a new token is answered with: the only time its secret is told. */
export interface CreatedToken extends Token {
  secret: string;
}

export interface AuditEntry {
  number: number;
  time: string;
  who: string;
  action: string;
  target: string;
  outcome: 'begun' | 'done' | 'refused' | 'denied';
  detail: string;
  repeated: number;
}

export interface AuditPage {
  entries: AuditEntry[];
  next: number | null;
}

/** RFC 9457. */
export interface ProblemBody {
  type?: string;
  title?: string;
  status?: number;
  detail?: string;
  code?: string;
}
