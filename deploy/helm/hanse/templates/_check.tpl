{{/* hanse.check: what the schema cannot say in words that help. */}}
{{- define "hanse.check" -}}
{{- $v := .Values -}}
{{- if ne .Release.Namespace "hanse-system" }}
  {{- fail "hanse must be installed into the namespace hanse-system, because its name is part of the identities of gateways and egress: use --namespace hanse-system --create-namespace" }}
{{- end }}
{{- if and $v.agent.enabled (not $v.cluster) }}
  {{- fail "cluster is not set: give this cluster its name in the federation, for example --set cluster=eu-1" }}
{{- end }}
{{- if and (or $v.agent.enabled $v.server.enabled) (not $v.region) }}
  {{- fail "region is not set: name the region in which this cluster stands, for example --set region=eu" }}
{{- end }}
{{- if and (or $v.gateway.enabled $v.egress.enabled) (not $v.agent.enabled) }}
  {{- fail "gateway and egress are configured by the agent: set agent.enabled=true, or gateway.enabled=false and egress.enabled=false" }}
{{- end }}
{{- end }}
