{{- define "sekisho.labels" -}}
app.kubernetes.io/name: sekisho
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: sekisho
{{- end }}

{{- define "sekisho.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- /* Beginning of names without a namespace: no two releases have the same, as neither part has a colon. */ -}}
{{- define "sekisho.clusterName" -}}
{{ .Release.Name }}:{{ .Release.Namespace }}
{{- end }}

{{- /* DNS names of the server; localhost is for port-forward. */ -}}
{{- define "sekisho.serverNames" -}}
{{- $service := "sekisho-server" -}}
{{- $namespace := .Release.Namespace -}}
{{- $names := list $service (printf "%s.%s" $service $namespace) (printf "%s.%s.svc" $service $namespace) "localhost" -}}
{{- concat $names .Values.tls.serverNames | toJson -}}
{{- end }}

{{- /* Files of a TLS Secret; only their owner reads the key. */ -}}
{{- define "sekisho.tlsVolume" -}}
name: tls
secret:
  secretName: {{ . }}
  defaultMode: 0440
  items:
    - {key: ca.crt, path: ca.crt}
    - {key: tls.crt, path: tls.crt}
    - {key: tls.key, path: tls.key}
{{- end }}
