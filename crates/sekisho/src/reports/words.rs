//! The words of reports, in each language.

use sekisho_api::{ReportKind, ReportLanguage};
use sekisho_map::GlyphState;
use sekisho_model::Verdict;

macro_rules! words {
    ($($name:ident: $en:literal, $ja:literal;)*) => {
        /// A word of a report.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum W { $(#[doc = $en] $name,)* }

        impl W {
            /// In the language.
            pub(crate) fn of(self, language: ReportLanguage) -> &'static str {
                match (self, language) {
                    $((Self::$name, ReportLanguage::En) => $en, (Self::$name, ReportLanguage::Ja) => $ja,)*
                }
            }

            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

words! {
    Segmentation: "Segmentation status", "セグメンテーションの状況";
    Connectivity: "Connectivity evidence", "通信の証跡";
    Changes: "Changes in a period", "期間中の変更";
    Generated: "Generated", "作成日時";
    By: "For", "作成者";
    Version: "Version", "バージョン";
    Cluster: "Cluster", "クラスター";
    Window: "Window (UTC)", "対象期間 (UTC)";
    Before: "Compared with (UTC)", "比較する期間 (UTC)";
    BeforeComplete: "Completeness of that", "比較期間の完全性";
    BeforeIncomplete: "The period before is not known as a whole: what is new here may be old.",
        "比較する期間の記録は完全ではありません。ここで新しいものが以前からあった可能性があります。";
    ScopeWord: "Scope", "範囲";
    Everything: "everything", "すべて";
    LeftOut: "Left out", "除外";
    Completeness: "Completeness", "完全性";
    Gaps: "What is missing", "欠落";
    Revision: "Revision in force", "適用中のリビジョン";
    Staged: "Revision staged", "ステージ中のリビジョン";
    NoneInForce: "none", "なし";
    Digest: "SHA-256 of the data", "データの SHA-256";
    DigestNote: "The digest is of the `data` of the JSON form, without spaces: whoever asks for the same window and scope can compare it.",
        "ダイジェストは JSON 形式の `data` (空白なし) のものです。同じ期間と範囲のレポートと比較できます。";
    Incomplete: "Part of what happened in this window was not recorded. What is not listed may have happened.",
        "この期間の一部は記録されていません。記載のない通信もあった可能性があります。";
    Cut: "There are more than are told here; shown are", "件数が多いため一部のみ表示しています。表示件数";
    Of: "of", "/ 全";
    Summary: "Summary", "概要";
    What: "What", "項目";
    Count: "Count", "数";
    Share: "Share", "割合";
    Workloads: "Workloads", "ワークロード";
    Workload: "Workload", "ワークロード";
    Namespaces: "Namespaces", "名前空間";
    Namespace: "Namespace", "名前空間";
    Ingress: "Ingress", "受信";
    Egress: "Egress", "送信";
    IngressNone: "Ingress without policy", "受信: ポリシーなし";
    IngressStaged: "Ingress staged", "受信: ステージ中";
    IngressEnforced: "Ingress enforced", "受信: 適用中";
    EgressNone: "Egress without policy", "送信: ポリシーなし";
    EgressStaged: "Egress staged", "送信: ステージ中";
    EgressEnforced: "Egress enforced", "送信: 適用中";
    Connections: "Connections", "接続数";
    Covered: "Covered by policies in force", "適用中のポリシーの対象";
    CoveredStaged: "Covered by staged policies", "ステージ中のポリシーの対象";
    Allowed: "allowed", "許可";
    Denied: "denied", "拒否";
    WouldDeny: "would be denied", "拒否予定";
    UnknownVerdict: "no answer seen", "応答なし";
    Exposed: "Exposed to outside", "外部に公開";
    FromOutside: "From outside", "外部から";
    ToOutside: "To outside", "外部へ";
    Ports: "Ports", "ポート";
    NoPolicy: "none", "なし";
    StagedState: "staged", "ステージ中";
    EnforcedState: "enforced", "適用中";
    UnknownState: "not known", "不明";
    Edges: "Connections by edge", "エッジごとの接続";
    Source: "From", "送信元";
    Destination: "To", "宛先";
    Port: "Port", "ポート";
    Processes: "Processes", "プロセス";
    FirstSeen: "First seen", "最初";
    LastSeen: "Last seen", "最後";
    Verdict: "Verdict", "判定";
    DecidedBy: "Decided by the policies in force now; [] = no rule of it allows", "現在適用中のポリシーの判断 ([] は許可ルールなし)";
    RecordedBy: "Recorded decision", "記録された判断";
    NobodyDecides: "no policy", "ポリシーなし";
    NewEdges: "New edges", "新しいエッジ";
    GoneEdges: "Gone edges", "なくなったエッジ";
    ChangedEdges: "Edges with another verdict", "判定が変わったエッジ";
    Revisions: "Policy revisions", "ポリシーのリビジョン";
    Number: "Number", "番号";
    Time: "Time", "日時";
    Mode: "Mode", "モード";
    Enforce: "enforce", "適用";
    Audit: "audit", "監査";
    Who: "Who", "実行者";
    Policies: "Policies", "ポリシー数";
    Restores: "Restores", "復元元";
    Images: "Workloads and images", "ワークロードとイメージ";
    ImagesBefore: "Images at the start", "開始時のイメージ";
    ImagesAfter: "Images at the end", "終了時のイメージ";
    Calls: "Audit log", "監査ログ";
    Action: "Action", "操作";
    Target: "Target", "対象";
    Outcome: "Outcome", "結果";
    Detail: "Detail", "詳細";
    NotYours: "Not told: it is about the whole cluster, and takes the role operator for all namespaces.",
        "表示できません。クラスター全体に関する情報で、全名前空間の operator 権限が必要です。";
    NotYoursRevisions: "Not told: revisions are about all namespaces.",
        "表示できません。リビジョンはすべての名前空間に関する情報です。";
    Nothing: "Nothing.", "なし。";
}

impl W {
    /// The name of a kind of report.
    pub(crate) fn kind(kind: ReportKind) -> Self {
        match kind {
            ReportKind::Segmentation => Self::Segmentation,
            ReportKind::Connectivity => Self::Connectivity,
            ReportKind::Changes => Self::Changes,
        }
    }

    /// A verdict.
    pub(crate) fn verdict(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Allowed => Self::Allowed,
            Verdict::Denied => Self::Denied,
            Verdict::WouldDeny => Self::WouldDeny,
            Verdict::Unknown => Self::UnknownVerdict,
        }
    }

    /// How far a workload is covered.
    pub(crate) fn state(state: GlyphState) -> Self {
        match state {
            GlyphState::NoPolicy => Self::NoPolicy,
            GlyphState::Staged => Self::StagedState,
            GlyphState::Enforced => Self::EnforcedState,
            GlyphState::External | GlyphState::Unknown => Self::UnknownState,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_there_in_each_language() {
        for word in W::ALL {
            let (en, ja) = (word.of(ReportLanguage::En), word.of(ReportLanguage::Ja));
            assert!(!en.is_empty() && en.is_ascii(), "{word:?}");
            assert!(!ja.is_empty() && !ja.is_ascii(), "{word:?}");
        }
    }
}
