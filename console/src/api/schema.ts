// Written by scripts/types.mjs from the API's schemas: change these, and run `npm run types`.

/** An agent. */
export type AgentStatus = {
  node: string;
  first_heard: string;
  last_heard: string;
  epoch: string;
  sequence: number;
  shed: number;
  hooks: {
    hook: string;
    produced: number;
    delivered: number;
    dropped: number;
  }[];
  /** Its last own words. */
  report: {
    version: string;
    kernel: string;
    generation: number;
    error: string;
    /** What it found among established connections. */
    established: Record<string, unknown> | null;
    rules: unknown[];
    tiers: string[];
    assembler: ([string, number])[];
    drops: ([string, number])[];
    tampered: number;
    tampered_last: string;
    memory_bytes: number;
    certificate_until: string | null;
    certificate_old: boolean;
  };
};

/** What became of it; without a revision nothing changed. */
export type Applied = {
  report: Report | null;
  revision: number | null;
  unenforced: string[];
  nodes: string[];
  pending: string[];
  established: Record<string, Established>;
  enforcement: Enforcement;
  /** What was done in the cluster. */
  native: {
    server: string;
    steps: {
      object: string;
      step: string;
      detail: string;
    }[];
    errors: string[];
    undone: number;
    half_applied: string[];
    unreadable: string[];
  } | null;
};

/** What to verify and put in force. */
export type Apply = {
  files: PolicyFile[];
  /** Policies that are not in the files end. */
  prune?: boolean;
  /** Start of the history to replay; 24h if absent. */
  since?: string | null;
  /** Edges accepted by name, `source -> destination:port/PROTOCOL`. */
  accept?: string[];
  max_would_block?: number;
  max_uncertain?: number;
  allow_partial?: boolean;
  /** Established connections that are denied end. */
  cut?: boolean;
};

/** What connects: a workload, a host, a node, an external. */
export type Asset = {
  /** As on the map by workload. */
  id: string;
  cluster: string;
  party: PartyKind;
  kind: string;
  namespace: string;
  name: string;
  /** There now; else history alone knows it. */
  present: boolean;
  labels: Record<string, string>;
  /** The first 16. */
  addresses: string[];
  /** Listens on; the first 16. */
  ports: number[];
  /** By dimension. */
  values: Record<string, AssetValue>;
};

/** What an asset is called in a dimension. */
export type AssetValue = {
  value: string;
  /** Others say otherwise, and nobody decided it. */
  conflict: boolean;
  /** All that is said; the first holds. */
  said: {
    layer: LabelLayer;
    value: string;
    /** Person, table and line, rule, or key. */
    source: string;
  }[];
};

/** A page of the audit log, newest first. */
export type AuditPage = {
  entries: ({
    number: number;
    time: string;
    /** The same for all entries of one call. */
    id: number;
    who: string;
    action: string;
    target: string;
    outcome: 'begun' | 'done' | 'refused' | 'denied';
    detail: string;
    repeated: number;
  })[];
  next: number | null;
};

/** Something changed. */
export type Change = {
  /** Ascends with each change. */
  number: number;
};

/** What a period brought. */
export type ChangesReport = {
  head: ReportHead;
  data: {
    new: ReportEdge[];
    new_total: number;
    gone: ReportEdge[];
    gone_total: number;
    changed: ReportEdge[];
    changed_total: number;
    revisions: ({
      revision: number;
      time: string;
      mode: 'enforce' | 'audit';
      operator: string;
      restores: number | null;
      policies: number;
    })[] | null;
    images: {
      workload: string;
      before: string[];
      after: string[];
    }[];
    images_total: number;
    calls: ({
      number: number;
      time: string;
      /** The same for all entries of one call. */
      id: number;
      who: string;
      action: string;
      target: string;
      outcome: 'begun' | 'done' | 'refused' | 'denied';
      detail: string;
      repeated: number;
    })[] | null;
    calls_total: number;
  };
};

export type Clusters = string[];

/** How much of the truth a window holds. */
export type Completeness = {
  ratio: number;
  produced: number;
  dropped: number;
  gaps: string[];
};

/** How sure a recommendation is. */
export type Confidence = {
  score: number;
  watched_s: number;
  hours_seen: number;
  restarts_seen: number;
  runs_seen: number;
  rules_seen_once: number;
  reasons: string[];
};

/** Every edge of a scope. */
export type ConnectivityReport = {
  head: ReportHead;
  data: {
    edges: ReportEdge[];
    edges_total: number;
    connections_total: number;
  };
};

/** Edges by class. */
export type Counts = {
  would_block: number;
  newly_allowed: number;
  unchanged: number;
  uncertain: number;
};

/** Workloads by how far policies cover one direction of them. */
export type CoverageStates = {
  no_policy: number;
  staged: number;
  enforced: number;
};

/** A new token, with its secret. */
export type CreatedToken = {
  name: string;
  role: Role;
  namespaces: string[] | null;
  created_by: string;
  created: string;
  expires: string | null;
  /** The secret: kept nowhere, told once. */
  token: string;
};

/** The rule that decided. */
export type DecidedBy = {
  /** namespace/name */
  policy: string;
  rule: number | null;
  direction: Direction;
};

export type Direction = 'ingress' | 'egress';

/** One pair of nodes. */
export type Edge = {
  window: Window;
  completeness: number;
  source: Node;
  destination: Node;
  rows: MapEdge[];
  first_seen: string;
  last_seen: string;
  decided_by: string[];
};

/** Who talked to whom, by what, and what became of it. */
export type EdgeKey = {
  source: Party;
  source_process: Process | null;
  destination: Party;
  destination_process: Process | null;
  protocol: Protocol;
  port: number;
  /** A Service. */
  service: {
    namespace: string;
    name: string;
    port: number;
  } | null;
  verdict: Verdict;
  decided_by: DecidedBy | null;
  direction_inferred: boolean;
  cluster: string;
};

export type Enforcement = 'datapath' | 'native';

/** What a node found among its established connections. */
export type Established = {
  revision: number;
  denied: number;
  cut: number;
  skipped: number;
  error: string;
};

/** Data of an event `flow`: one connection, or one report of a long one. */
export type FlowEvent = {
  key: EdgeKey;
  source: string;
  destination: string;
  opened: string;
  stats: Stats;
};

/** The bytes of the file. */
export type FlowFile = string;

/** A page of flows, newest first. */
export type Flows = {
  flows: {
    number: number;
    key: EdgeKey;
    source: string;
    destination: string;
    opened: string;
    stats: Stats;
  }[];
  /** Ask with `before=` this for older ones. */
  next: number | null;
};

/** What the parameters left out. */
export type Hidden = {
  /** What of it is noise, by what calls it so: dns, probes, scrapes, or somebody's rule. */
  noise?: {
    name: string;
    /** Whether it is somebody's rule. */
    own: boolean;
    connections: number;
  }[];
  edges: number;
  connections: number;
};

/** A page of edges of history. */
export type History = {
  window: Window;
  completeness: number;
  gaps: string[];
  /** Edges that are asked for, on all pages. */
  total: number;
  edges: {
    key: EdgeKey;
    stats: Stats;
  }[];
  /** Ask with `after=` this for more; null = these are the last. */
  next: string | null;
};

/** A file of flows that was handed in. */
export type Import = {
  /** The beginning of its SHA-256: the same file counts once. */
  id: string;
  name: string;
  /** Who handed it in. */
  by: string;
  received: string;
  bytes: number;
  /** What was found in it. */
  format: string;
  state: 'waiting' | 'reading' | 'done' | 'failed';
  /** Why it failed, or waits for the disk; empty = it does not. */
  problem: string;
  /** Lines, packets or records read. */
  units: number;
  /** Flows that they gave. */
  records: number;
  /** Connections that began. */
  connections: number;
  /** Understood and left out. */
  skipped: number;
  /** Not understood. */
  rejected: number;
  /** The most frequent reasons. */
  reasons: {
    reason: string;
    count: number;
    /** Beginning of the first. */
    sample: string;
  }[];
  /** Records that the file says, or its numbers show, were lost. */
  lost: number;
  /** Time of its first record. */
  from: string | null;
  /** Time of its last. */
  to: string | null;
};

export type Imports = Import[];

/** A page of assets. */
export type Inventory = {
  window: Window;
  revision: number;
  dimensions: LabelDimension[];
  layers: LabelLayer[];
  /** Assets that the asker sees. */
  total: number;
  /** With no value at all. */
  unlabelled: number;
  conflicting: number;
  /** Asked for, over all pages. */
  matching: number;
  kinds: string[];
  namespaces: string[];
  assets: Asset[];
  /** `after` of the next page. */
  next: string | null;
};

/** What a person says of an asset. */
export type LabelAsset = {
  id: string;
  dimension: string;
  /** null = none by hand any more */
  value?: string | null;
};

/** What a change of labels does. */
export type LabelChanges = {
  errors: {
    line: number;
    column: number;
    field: string;
    message: string;
  }[];
  assets: number;
  /** Assets called otherwise. */
  changed: number;
  conflicting: number;
  /** The first 50 values that change. */
  examples: ({
    cluster: string;
    id: string;
    dimension: string;
    before: string | null;
    after: string | null;
  })[];
};

/** A dimension that assets are labelled in. */
export type LabelDimension = {
  name: string;
  /** Keys of Kubernetes labels that tell it, the first that is there. */
  keys: string[];
  /** Assets with a value. */
  labelled: number;
  conflicting: number;
};

/** What an import did, or would do. */
export type LabelImport = {
  name: string;
  /** false = nothing was changed */
  kept: boolean;
  replaces: boolean;
  /** Values that were read. */
  rows: number;
  /** Whose asset is known. */
  matched: number;
  /** Whose asset nobody knows yet. */
  unknown: number;
  /** Of a name that several have. */
  ambiguous: number;
  unmatched: {
    line: number;
    asset: string;
    reason: string;
  }[];
  rejected: {
    line: number;
    column: string;
    reason: string;
  }[];
  rejected_total: number;
  ignored_columns: string[];
  changes: LabelChanges;
};

/** Who says a value: a person, a table, a rule, a label of the workload, its namespace or its nodes. */
export type LabelLayer = 'manual' | 'import' | 'rule' | 'workload' | 'namespace' | 'node';

/** The rules of labels, and the tables that were imported. */
export type LabelRules = {
  revision: number;
  /** YAML or JSON, as it was written. */
  rules: string;
  dimensions: LabelDimension[];
  layers: LabelLayer[];
  imports: ({
    name: string;
    /** null = of all clusters */
    cluster: string | null;
    by: string;
    time: string;
    /** Its values. */
    rows: number;
  })[];
  /** Values that people gave by hand. */
  by_hand: number;
};

/** The dependency map. */
export type Map = {
  grouping: 'namespace' | 'workload' | 'pod' | 'process';
  window: Window;
  completeness: number;
  completeness_detail: Completeness;
  nodes: Node[];
  edges: MapEdge[];
  hidden: Hidden;
};

/** What a map has other than an earlier one. */
export type MapDiff = {
  /** One of the two maps. */
  before: {
    window: Window;
    completeness: number;
  };
  /** One of the two maps. */
  after: {
    window: Window;
    completeness: number;
  };
  added: MapEdge[];
  removed: MapEdge[];
  changed: {
    before: MapEdge[];
    after: MapEdge[];
  }[];
  unchanged: number;
};

/** All connections of one source, destination, protocol, port and verdict. */
export type MapEdge = {
  source: string;
  destination: string;
  protocol: Protocol;
  port: number;
  verdict: Verdict;
  processes: ({
    source: string | null;
    destination: string | null;
  })[];
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
  reporters: Reporters;
  direction_inferred: boolean;
  loss: boolean;
};

/** A networking.k8s.io/v1 NetworkPolicy. */
export type NetworkPolicy = {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
  spec: Record<string, unknown>;
};

/** A table to be imported. */
export type NewLabelImport = {
  /** Another one of this name is replaced. */
  name: string;
  /** CSV; its first line names the columns. */
  text: string;
  /** null = of all clusters */
  cluster?: string | null;
  /** Column that names the asset. */
  key?: string | null;
  /** Column by dimension, where it is not called as that is. */
  columns?: Record<string, string>;
  /** Keep what can be read where lines can't. */
  partial?: boolean;
  /** Only tell what it would do. */
  dry_run?: boolean;
};

/** Rules to be kept. */
export type NewLabelRules = {
  rules: string;
  /** What they were made from: refused if labels were changed since. */
  revision?: number | null;
};

/** A rule to be kept. */
export type NewNoiseRule = {
  name: string;
  shared?: boolean;
  filter: Record<string, string>;
};

/** A token to be made. */
export type NewToken = {
  /** Unique. */
  name: string;
  role?: Role;
  namespaces?: string[] | null;
  expires?: string | null;
};

/** A view to be kept. */
export type NewView = {
  name: string;
  shared?: boolean;
  query: string;
};

/** A node of the map. */
export type Node = {
  /** Unique and stable. */
  id: string;
  kind: string;
  namespace: string;
  name: string;
  labels: Record<string, string>;
  party: PartyKind;
  /** Distinct pods behind it. */
  pods: number;
  /** Where the map is of several. */
  cluster?: string;
  /** At process grouping. */
  process?: string;
};

/** Connections that somebody calls noise. */
export type NoiseRule = {
  id: number;
  name: string;
  /** Seen by all who have all namespaces; else by its owner. */
  shared: boolean;
  owner: string;
  created: string;
  /** Values by the name of a parameter of `GET /flows`. */
  filter: Record<string, string>;
};

/** Own and shared rules, by name. */
export type NoiseRules = NoiseRule[];

/** Something that NetworkPolicy cannot say, and what does it. */
export type NotNative = {
  what: string;
  instead: string;
};

/** One end of a connection. */
export type Party = {
  kind: PartyKind;
  /** Its topmost owner. */
  workload: {
    namespace: string;
    name: string;
    kind: string;
  };
  pod: string;
  labels: Record<string, string>;
  address: string | null;
  dns_name: string | null;
};

export type PartyKind = 'pod' | 'service' | 'node' | 'host' | 'external' | 'unknown';

export type Policies = ({
  namespace: string;
  name: string;
  kind: string;
  state: 'enforced' | 'staged';
  yaml: string | null;
  /** When it ends, as a template wrote it. */
  expires: string | null;
  approved: {
    revision: number;
    time: string;
    operator: string;
  } | null;
  drift: PolicyDrift | null;
})[];

/** How a policy in the cluster differs from the revision in force. */
export type PolicyDrift = {
  object: string;
  kind: string;
  fields: string[];
  manager: string;
  time: string | null;
  opens: string[];
  closes: string[];
  more: number;
};

/** A file of policies. */
export type PolicyFile = {
  /** For messages. */
  name: string;
  /** YAML or JSON. */
  text: string;
};

/** What is known of the policies that select a node. */
export type PolicyState = 'no_policy' | 'staged' | 'enforced' | 'external' | 'unknown';

/** What is wrong with a request (RFC 9457). */
export type Problem = {
  /** urn:sekisho:problem:CODE */
  type: string;
  title: string;
  status: number;
  /** What is wrong this time, and what to do. */
  detail: string;
  /** For programs. */
  code: string;
};

/** A process. */
export type Process = {
  exe: string;
  comm: string;
  uid: number;
  /** Its container. */
  container: {
    name: string;
    image: string;
  } | null;
};

/** Policies of a template with their evidence. */
export type Proposal = {
  template: string;
  words: string[];
  not_native: NotNative[];
  cluster_policies: (Record<string, unknown>)[];
  window: Window;
  completeness: number;
  default_deny: NetworkPolicy[];
  policies: {
    policy: NetworkPolicy;
    workloads: string[];
    rules: {
      direction: Direction;
      rule: number;
      words: string[];
      connections: number;
      first_seen: string;
      last_seen: string;
      processes: string[];
      edges: string[];
    }[];
    confidence: Confidence;
  }[];
  notes: ({
    kind: 'left_out' | 'merged' | 'wide' | 'always_allowed' | 'no_policy' | 'gone' | 'existing';
    subject: string;
    text: string;
  })[];
};

export type Protocol = 'TCP' | 'UDP' | 'SCTP' | 'ICMP';

/** What policies would have done to history. */
export type Report = {
  window: Window;
  completeness: number;
  summary: Counts;
  edges: ({
    source: string;
    destination: string;
    protocol: Protocol;
    port: number;
    class: 'would_block' | 'newly_allowed' | 'uncertain' | 'unchanged';
    before: 'allowed' | 'denied' | 'unknown';
    after: 'allowed' | 'denied' | 'unknown';
    decided_by: DecidedBy | null;
    connections: number;
    first_seen: string;
    last_seen: string;
    reason: string;
    may_block: boolean;
    accepted: boolean;
  })[];
  accepted_unused: string[];
  would_block_max: number;
  uncertain_max: number;
  verified: boolean;
};

/** An edge of a report. */
export type ReportEdge = {
  source: string;
  destination: string;
  protocol: Protocol;
  port: number;
  verdict: Verdict;
  connections: number;
  first_seen: string;
  last_seen: string;
  /** Program at the source and at the destination; empty = nobody saw it. */
  processes: ([string, string])[];
  dns_names: string[];
  recorded_by: string[];
  /** Connections that the policies in force now allow. */
  allowed_now: number;
  denied_now: number;
  decided_by: ({
    kind: string;
    namespace: string;
    name: string;
    direction: Direction;
    rule: number | null;
    connections: number;
  })[];
};

/** What a report is of. */
export type ReportHead = {
  report: 'segmentation' | 'connectivity' | 'changes';
  generated: string;
  /** Name of the token. */
  by: string;
  version: string;
  cluster: string;
  window: Window;
  earlier: Window | null;
  /** What of the window is told. */
  scope: {
    namespaces: string[];
    granted: string[] | null;
    within: string[];
    hidden: string[];
  };
  completeness: number;
  gaps: string[];
  /** Of the period before. */
  earlier_completeness: number | null;
  /** In force; 0 = none. */
  revision: number;
  staged: number;
  /** Of `data` as JSON without spaces, hex. */
  sha256: string;
};

/** Which ends reported. */
export type Reporters = {
  source: boolean;
  destination: boolean;
  datapath: boolean;
};

export type Revisions = ({
  cluster: string;
  revision: number;
  time: string;
  mode: 'enforce' | 'audit';
  operator: string;
  restores: number | null;
  policies: number;
  summary: Counts | null;
  current: boolean;
})[];

/** What somebody may do; each includes those before it. */
export type Role = 'viewer' | 'author' | 'operator';

/** Where to go back to. */
export type Rollback = {
  /** null = the one before; 0 = no policies */
  revision?: number | null;
};

/** An edge that a rule decides. */
export type RuleEdge = {
  source: string;
  destination: string;
  protocol: Protocol;
  port: number;
  verdict: Verdict;
  connections: number;
  last_seen: string;
};

/** What of history each rule let through. */
export type RuleHits = {
  window: Window;
  completeness: number;
  gaps: string[];
  /** Connections of the window. */
  connections: number;
  /** Why nobody knows what rules are shadowed; null = it was worked out. */
  shadows_left_out: string | null;
  policies: ({
    namespace: string;
    name: string;
    kind: string;
    state: 'enforced' | 'staged';
    tier: string;
    /** Workloads that it selects. */
    workloads: number;
    /** Since when it is that in its present form. */
    since: string | null;
    isolates: ({
      direction: Direction;
      /** Nothing in the window, in any way to read it. */
      unused: boolean;
      connections: number;
      /** Of these, those that no other rule of the tier allows as well. */
      alone: number;
      /** Connections that it decides in some ways to read the record only. */
      uncertain: number;
      first_seen: string | null;
      last_seen: string | null;
      /** Edges behind all of them. */
      edges: number;
      /** Those with most connections. */
      most: RuleEdge[];
    })[];
    rules: ({
      direction: Direction;
      index: number;
      name: string;
      action: 'accept' | 'deny' | 'pass';
      words: string;
      /** Nothing in the window, in any way to read it. */
      unused: boolean;
      connections: number;
      /** Of these, those that no other rule of the tier allows as well. */
      alone: number;
      /** Connections that it decides in some ways to read the record only. */
      uncertain: number;
      first_seen: string | null;
      last_seen: string | null;
      /** Edges behind all of them. */
      edges: number;
      /** Those with most connections. */
      most: RuleEdge[];
      /** What would be otherwise without it. */
      effect: 'needed' | 'selects_nothing' | 'matches_nothing' | 'shadowed' | 'unknown';
      shadowed_by: ({
        kind: string;
        namespace: string;
        name: string;
        direction: Direction;
        index: number | null;
      })[];
      /** Whether it is shadowed whatever pods come to be. */
      always: boolean;
    })[];
  })[];
};

/** The map with a place for each node; lengths are in units of the picture. */
export type Scene = {
  window: Window;
  completeness: number;
  gaps: string[];
  /** While it stays, nothing has moved. */
  generation: string;
  x: number;
  y: number;
  width: number;
  height: number;
  areas: ({
    id: string;
    parent: string | null;
    kind: 'cluster' | 'namespace' | 'external' | 'host';
    name: string;
    x: number;
    y: number;
    w: number;
    h: number;
    nodes: number;
  })[];
  glyphs: {
    id: string;
    area: string;
    kind: string;
    name: string;
    namespace: string;
    x: number;
    y: number;
    r: number;
    pods: number;
    /** Nodes it stands for, where it stands for several: many bare addresses. */
    folded: number;
    /** Where the map is of several. */
    cluster?: string;
    state: PolicyState;
    ingress: PolicyState;
    egress: PolicyState;
    labels: Record<string, string>;
  }[];
  edges: ({
    id: string;
    source: string;
    destination: string;
    verdict: Verdict;
    ports: {
      protocol: Protocol;
      port: number;
    }[];
    /** Executables seen at the source, the first ones. */
    source_processes: string[];
    /** The same at the destination. */
    destination_processes: string[];
    /** Of how many ends the process was seen, each time. */
    ends_seen: number;
    /** As the ports say that IANA assigned; nobody looked into the bytes. */
    encryption: 'encrypted' | 'clear' | 'mixed' | 'unknown';
    rows: number;
    connections: number;
    bytes: number;
    resets: number;
    first_seen: string;
    last_seen: string;
    direction_inferred: boolean;
    loss: boolean;
  })[];
  hidden: Hidden;
  /** What the limits left out. */
  partial: {
    glyphs_shown: number;
    glyphs_total: number;
    edges_shown: number;
    edges_total: number;
  } | null;
};

/** How far policies cover a cluster. */
export type SegmentationReport = {
  head: ReportHead;
  data: {
    totals: {
      workloads: number;
      ingress: CoverageStates;
      egress: CoverageStates;
      connections: {
        total: number;
        covered: number;
        covered_staged: number;
        allowed: number;
        denied: number;
        would_deny: number;
        unknown: number;
      };
      /** Workloads that took connections from outside. */
      exposed: number;
    };
    namespaces: {
      namespace: string;
      workloads: number;
      ingress: CoverageStates;
      egress: CoverageStates;
      connections: number;
      covered: number;
      exposed: number;
    }[];
    workloads: {
      workload: string;
      namespace: string;
      ingress: PolicyState;
      egress: PolicyState;
      connections: number;
      covered: number;
      from_outside: number;
      ports: string[];
      to_outside: number;
    }[];
    workloads_total: number;
  };
};

/** Who is signed in. */
export type Session = {
  name: string;
  role: Role;
  /** null = all */
  namespaces: string[] | null;
  expires: string | null;
  /** Version of the server. */
  version: string;
};

/** Sign in. */
export type SignIn = {
  token: string;
};

/** How to sign in, besides with a token. */
export type SignInWays = {
  /** What the provider of OpenID Connect is called; null = there is none. */
  oidc: string | null;
};

/** Where flows go while they come. */
export type SinkStatus = {
  name: string;
  destination: string;
  sent: number;
  waiting: number;
  waiting_bytes: number;
  lost: number;
  last: string | null;
  /** Why it took nothing the last time; empty = it did. */
  error: string;
};

/** A live source of flows besides the agents. */
export type SourceStatus = {
  name: string;
  from: string;
  state: 'starting' | 'following' | 'listening' | 'waiting';
  since: string;
  /** Why it waits; empty = it does not. */
  problem: string;
  last: string | null;
  /** Lines, messages or records read. */
  units: number;
  records: number;
  connections: number;
  skipped: number;
  rejected: number;
  reasons: {
    reason: string;
    count: number;
    sample: string;
  }[];
  lost: number;
  refused: number;
  restarts: number;
};

/** Sums; sent and received are from the source's view. */
export type Stats = {
  connections: number;
  bytes_sent: number;
  bytes_received: number;
  packets_sent: number;
  packets_received: number;
  resets: number;
  first_seen: string;
  last_seen: string;
  reporters: Reporters;
  loss: boolean;
};

/** Health and figures of the server and of one of its clusters. */
export type Status = {
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
  /** History. */
  store: {
    bytes: number;
    segments: number;
    hot_rows: number;
    degraded: string;
    /** How shipping to ClickHouse goes; null = nothing is shipped. Rows are of edge and minute; lost: deleted here before they were shipped. */
    archive?: {
      segments?: number;
      rows?: number;
      waiting_segments?: number;
      waiting_rows?: number;
      waiting_s?: number;
      lost_segments?: number;
      lost_rows?: number;
      only_there_until?: string | null;
      /** Empty = the last turn went well. */
      error?: string;
      failing_since?: string | null;
    } | null;
  };
  memory_bytes: number;
  joiner: ([string, number])[];
  joiner_held: ([string, number])[];
  /** Batches. */
  ingest: {
    taken: number;
    repeated: number;
    refused: number;
  };
  generation: number;
  /** How the live cluster is followed. */
  cluster: Record<string, unknown> | null;
  problems: string[];
  /** The listener that leaves the machine. */
  listener: Record<string, unknown> | null;
  console: string | null;
  enforcement: Enforcement;
  /** The state of native enforcement. */
  native: Record<string, unknown> | null;
  /** Workloads whose images changed since the policies were verified. */
  images: Record<string, unknown> | null;
  /** The server's other clusters. */
  others?: Status[];
  /** Flows in memory. */
  flows_held: number;
  /** Room for them. */
  flows_held_max: number;
  sources: SourceStatus[];
  sinks: SinkStatus[];
};

/** What matters first. */
export type Summary = {
  window: Window;
  completeness: number;
  gaps: string[];
  /** By what policies select them. */
  workloads: {
    total: number;
    no_policy: number;
    staged: number;
    enforced: number;
  };
  /** That began in the window. */
  connections: {
    allowed: number;
    would_deny: number;
    denied: number;
    unknown: number;
  };
  edges: number;
  /** Not seen in the week before. */
  new_edges: number;
  /** Agents. */
  agents: {
    total: number;
    healthy: number;
  };
  revision: number;
  staged: number;
  problems: string[];
  next: ({
    kind: 'problems' | 'agents' | 'gaps' | 'denied' | 'would_deny' | 'apply' | 'recommend' | 'new_edges';
    count: number;
  })[];
};

/** A template of policies, and what it asks. */
export type Template = {
  name: string;
  purpose: 'start' | 'separate' | 'protect' | 'border' | 'forbid' | 'access';
  what: string;
  /** Kinds of policies. */
  makes: string;
  parameters: TemplateParameter[];
  not_native: NotNative[];
};

/** What a template asks, and what of it was seen. */
export type TemplateParameter = {
  name: string;
  asks: 'pod_label' | 'namespace_label' | 'label_value' | 'workload' | 'machine' | 'port' | 'network' | 'name' | 'time' | 'word';
  /** Several values, with commas between them. */
  many: boolean;
  needed: boolean;
  default: string | null;
  /** What holds without a value. */
  otherwise: string | null;
  what: string;
  choices: string[];
  /** Choices that are not listed. */
  more: number;
};

export type Templates = Template[];

/** Connections that began, by time and verdict. */
export type Timeline = {
  window: Window;
  /** Length of a bucket, seconds. */
  step_s: number;
  buckets: {
    at: string;
    allowed: number;
    would_deny: number;
    denied: number;
    unknown: number;
    lost: boolean;
  }[];
};

export type Tokens = ({
  name: string;
  role: Role;
  namespaces: string[] | null;
  created_by: string;
  created: string;
  expires: string | null;
})[];

/** Rules to be looked at. */
export type TryLabelRules = {
  rules: string;
};

/** What the kernel did. */
export type Verdict = 'allowed' | 'denied' | 'would_deny' | 'unknown';

/** A view of the map with a name. */
export type View = {
  id: number;
  name: string;
  /** Seen by all who have all namespaces; else by its owner. */
  shared: boolean;
  owner: string;
  created: string;
  /** Query of the console's address. */
  query: string;
};

/** Own and shared views, by name. */
export type Views = View[];

/** What to replay. */
export type WhatIf = {
  files: PolicyFile[];
  /** Policies that are not in the files end. */
  prune?: boolean;
  /** Start of the history to replay; 24h if absent. */
  since?: string | null;
  /** Unchanged edges to list at most, 1000 if absent; the summary counts all. */
  unchanged_max?: number | null;
};

/** A time window; the end is not in it. */
export type Window = {
  from: string;
  to: string;
};

/** One workload. */
export type Workload = {
  id: string;
  window: Window;
  completeness: number;
  namespace: string;
  name: string;
  kind: string;
  labels: Record<string, string>;
  state: PolicyState;
  pods: ({
    name: string;
    addresses: string[];
    node: string | null;
    images: string[];
  })[];
  inbound: MapEdge[];
  outbound: MapEdge[];
  policies: ({
    state: 'enforced' | 'staged';
    namespace: string;
    name: string;
    directions: Direction[];
  })[];
};
