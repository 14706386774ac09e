// What a reviewer of policies must know, as the text of a pull request. Pure: Markdown that others'
// names cannot break out of.

import type { PolicyFile, Recommendations, Report } from '../api/types.ts';
import { harmless, percent } from './format.ts';
import type { Key } from './i18n.svelte.ts';
import { countPolicies } from './policy-files.ts';

export type Words = (key: Key, values?: Record<string, string | number>) => string;

/** Edges and rules that are told one by one; the rest is counted. */
const TOLD_MAX = 50;
const RULES_MAX = 12;
const CLASSES = ['would_block', 'uncertain', 'newly_allowed'] as const;

/** Strangers' text in a code span: no backtick ends it, no line does (CommonMark 0.31, 6.1). */
function code(text: string): string {
  return `\`${harmless(text, 200).replaceAll('`', '′')}\``;
}

/** Strangers' text among words: nothing in it is Markdown, HTML, a mention or a link. */
function plain(text: string): string {
  return harmless(text, 300).replace(/[\\`*_{}[\]()#+!|<>@~&]/g, (letter) => `\\${letter}`).replaceAll('://', ':\u200b//');
}

function rest(list: string[], all: number, t: Words): string[] {
  return all > list.length ? [...list, `- ${t('more', { n: all - list.length })}`] : list;
}

/** The text; `since` is the window that was verified. */
export function pullRequest(
  { data, files, report, since }: { data: Recommendations; files: PolicyFile[]; report: Report; since: string },
  t: Words,
): string {
  const names = files.map((file) => code(file.name)).join(', ');
  const lines = [
    `# ${t('pr.title', { n: countPolicies(files) })}`,
    '',
    t('pr.made', { template: code(data.template), from: report.window.from, to: report.window.to, percent: percent(report.completeness) }),
    '',
    `- ${t('pr.files')} ${names}`,
    `- ${t('what.would_block', { n: report.summary.would_block })}`,
    `- ${t('what.uncertain', { n: report.summary.uncertain })}`,
    `- ${t('what.newly_allowed', { n: report.summary.newly_allowed })}`,
    `- ${t('what.unchanged', { n: report.summary.unchanged })}`,
    '',
    t('pr.check'),
    '',
    '```sh',
    `sekisho verify -f . --since ${since.replace(/[^\w.:+-]/g, '')}`,
    '```',
  ];
  for (const one of CLASSES) {
    const edges = report.edges.filter((edge) => edge.class === one);
    if (edges.length === 0) continue;
    const told = edges.slice(0, TOLD_MAX).map((edge) => {
      const name = code(`${edge.source} → ${edge.destination} ${edge.port}/${edge.protocol}`);
      return `- ${name}: ${plain(edge.reason)} (${t('n.connections', { n: edge.connections })}, ${edge.last_seen})`;
    });
    lines.push('', `## ${t(`what.${one}`, { n: report.summary[one] })}`, '', ...rest(told, report.summary[one], t));
  }
  const policies = data.policies.slice(0, TOLD_MAX);
  if (policies.length > 0) lines.push('', `## ${t('pr.evidence')}`);
  for (const { policy, rules, confidence } of policies) {
    const name = [policy.metadata.namespace, policy.metadata.name].filter(Boolean).join('/');
    // The words have what was seen in them.
    const told = rules.slice(0, RULES_MAX).map((rule) => `- ${t(`rule.${rule.direction}`)}: ${plain(rule.words.join('; '))}`);
    lines.push('', `### ${plain(name)} (${t('rec.confidence')}: ${confidence.score.toFixed(2)})`, '', ...rest(told, rules.length, t));
  }
  return `${lines.join('\n')}\n`;
}
