// The documents of /api/v1 by the names that the screens use. What they hold is in schema.ts.

import type * as api from './schema.ts';

export type {
  Applied,
  Asset,
  AssetValue,
  AuditPage,
  ChangesReport,
  Confidence,
  ConnectivityReport,
  CreatedToken,
  DecidedBy,
  Hidden,
  Import,
  Inventory,
  LabelChanges,
  LabelDimension,
  LabelImport,
  LabelLayer,
  LabelRules,
  MapDiff,
  MapEdge,
  NoiseRule,
  Party,
  PolicyFile,
  Report,
  ReportEdge,
  ReportHead,
  Role,
  RuleHits,
  SegmentationReport,
  Scene,
  Session,
  SignInWays,
  SinkStatus,
  SourceStatus,
  Status,
  Summary,
  Template,
  TemplateParameter,
  Timeline,
  Verdict,
  View,
  Window,
} from './schema.ts';

export type PolicyRules = api.RuleHits['policies'][number];
export type RuleUse = PolicyRules['rules'][number];
export type RuleOther = RuleUse['shadowed_by'][number];
export type Next = api.Summary['next'][number];
export type NextKind = Next['kind'];
export type Area = api.Scene['areas'][number];
export type AreaKind = Area['kind'];
export type Glyph = api.Scene['glyphs'][number];
export type GlyphState = api.PolicyState;
export type SceneEdge = api.Scene['edges'][number];
export type ScenePort = SceneEdge['ports'][number];
export type Partial = NonNullable<api.Scene['partial']>;
export type Bucket = api.Timeline['buckets'][number];
export type MapNode = api.Node;
export type EdgeAnswer = api.Edge;
export type Process = api.Process;
/** A page's flow; one of a stream has no number. */
export type Flow = api.FlowEvent & { number?: number };
export type FlowPage = api.Flows;
export type WorkloadAnswer = api.Workload;
export type Recommendations = api.Proposal;
export type ProposedPolicy = api.Proposal['policies'][number];
export type RuleEvidence = ProposedPolicy['rules'][number];
export type PolicyObject = api.NetworkPolicy;
export type JudgedEdge = api.Report['edges'][number];
export type ChangeClass = JudgedEdge['class'];
export type Revision = api.Revisions[number];
export type PolicyRow = api.Policies[number];
export type AgentStatus = api.AgentStatus;
export type Hook = AgentStatus['hooks'][number];
export type Token = api.Tokens[number];
export type AuditEntry = api.AuditPage['entries'][number];
/** RFC 9457; a proxy's page is none. */
export type ProblemBody = { [Field in keyof api.Problem]?: api.Problem[Field] };
