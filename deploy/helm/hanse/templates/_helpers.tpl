{{/* hanse.selector: what never changes of a component's labels. Takes (dict "root" $ "component" NAME), as most of these do. */}}
{{- define "hanse.selector" -}}
app.kubernetes.io/name: hanse
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "hanse.labels" -}}
{{ include "hanse.selector" . }}
app.kubernetes.io/part-of: hanse
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* hanse.meta: name, namespace and labels of an object of a component. */}}
{{- define "hanse.meta" -}}
name: {{ .name | default (printf "hanse-%s" .component) }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "hanse.labels" . | nindent 2 }}
{{- end }}

{{/* hanse.image: takes (dict "root" $ "image" IMAGE). */}}
{{- define "hanse.image" -}}
{{- $repository := .image.repository | default .root.Values.image.repository -}}
{{- $digest := .image.digest -}}
{{- $tag := .image.tag | default .root.Values.image.tag | default .root.Chart.AppVersion -}}
{{- if $digest }}{{ printf "%s@%s" $repository $digest }}{{ else }}{{ printf "%s:%s" $repository $tag }}{{ end }}
{{- end }}

{{/* hanse.podMeta: labels and annotations of a component's pods. A new version of the chart alone starts none anew. */}}
{{- define "hanse.podMeta" -}}
labels:
  {{- include "hanse.selector" . | nindent 2 }}
{{- with (index .root.Values .component).podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* hanse.pod: what all pods have in common. "api" is whether the component talks to the API server; "sysctls" are the pod's. */}}
{{- define "hanse.pod" -}}
{{- $v := index .root.Values .component -}}
serviceAccountName: {{ .account | default .component }}
automountServiceAccountToken: {{ .api | default false }}
# Variables such as HANSE_AGENT_PORT, which Kubernetes would make from the Services, would be taken for flags.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
  {{- with .sysctls }}
  sysctls:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $v.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if hasKey $v "replicas" }}
topologySpreadConstraints:
  {{- $selector := include "hanse.selector" . }}
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- $selector | nindent 8 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* hanse.container: what all containers have in common. "image" as for hanse.image. */}}
{{- define "hanse.container" -}}
name: {{ .component }}
image: {{ include "hanse.image" . }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  privileged: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities:
    drop: [ALL]
resources:
  {{- toYaml (index .root.Values .component).resources | nindent 2 }}
# The health port is bound to the pod's address: the kubelet asks there, and every other port of the loopback stays the process's own.
startupProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 20
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: health}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 3
{{- end }}

{{/* hanse.podEnv: what a pod is told of itself; flags refer to it as $(POD_IP). */}}
{{- define "hanse.podEnv" -}}
- name: POD_NAME
  valueFrom:
    fieldRef: {fieldPath: metadata.name}
- name: POD_NAMESPACE
  valueFrom:
    fieldRef: {fieldPath: metadata.namespace}
- name: POD_IP
  valueFrom:
    fieldRef: {fieldPath: status.podIP}
{{- end }}

{{/* hanse.extraArgs: the operator's own flags. */}}
{{- define "hanse.extraArgs" -}}
{{- range (index .root.Values .component).extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{/* hanse.rollout: a new pod is ready before an old one goes. */}}
{{- define "hanse.rollout" -}}
type: RollingUpdate
rollingUpdate:
  maxUnavailable: 0
  maxSurge: 1
{{- end }}

{{/* hanse.disruption: a PodDisruptionBudget that lets one pod go at a time. */}}
{{- define "hanse.disruption" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "hanse.meta" . | nindent 2 }}
spec:
  maxUnavailable: 1
  # A pod that is not ready protects nobody: it must not keep a node from being emptied.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "hanse.selector" . | nindent 6 }}
{{- end }}

{{/* hanse.account: a ServiceAccount, which has no token mounted unless a pod asks for one. */}}
{{- define "hanse.account" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "hanse.meta" (merge (dict "name" .component) .) | nindent 2 }}
automountServiceAccountToken: false
{{- end }}
