{{/* hanse.proxy: the Deployment of a gateway or the egress. Takes root, component, "args" and "ports" (YAML), "sysctls". */}}
{{- define "hanse.proxy" -}}
{{- $v := index .root.Values .component -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "hanse.meta" . | nindent 2 }}
spec:
  replicas: {{ $v.replicas }}
  strategy:
    {{- include "hanse.rollout" . | nindent 4 }}
  selector:
    matchLabels:
      {{- include "hanse.selector" . | nindent 6 }}
  template:
    metadata:
      {{- include "hanse.podMeta" . | nindent 6 }}
    spec:
      {{- include "hanse.pod" . | nindent 6 }}
      # SIGTERM drains: the agent is told first, calls under way end. There is no preStop: it would only come before that. What the
      # grace period has beyond the drain is for the Envoy to end in.
      terminationGracePeriodSeconds: {{ add $v.drainSeconds 15 }}
      containers:
        - {{ include "hanse.container" (merge (dict "image" .root.Values.proxyImage) .) | nindent 10 | trim }}
          args:
            - proxy
            {{- .args | nindent 12 }}
            - --address=$(POD_IP)
            - --agent=hanse-agent.{{ .root.Release.Namespace }}.svc:7710
            - --service-account-token=/var/run/hanse/identity/token
            - --site-roots=/var/run/hanse/identity/roots.pem
            - --drain-time={{ $v.drainSeconds }}s
            - --health-listen=[$(POD_IP)]:7720
            - --log-level={{ .root.Values.logLevel }}
            - --log-format=json
            {{- include "hanse.extraArgs" . | nindent 12 }}
          env:
            {{- include "hanse.podEnv" . | nindent 12 }}
          ports:
            {{- with .ports }}
            {{- . | nindent 12 }}
            {{- end }}
            - {name: health, containerPort: 7720, protocol: TCP}
          volumeMounts:
            - {name: data, mountPath: /var/lib/hanse}
            - {name: identity, mountPath: /var/run/hanse/identity, readOnly: true}
      volumes:
        - name: data
          emptyDir: {}
        # Who this proxy is, shown to the agent alone: the API server refuses a token with this audience. The roots are the agent's; until
        # it has written them the pod waits to be started.
        - name: identity
          projected:
            defaultMode: 0440
            sources:
              - serviceAccountToken: {audience: hanse, expirationSeconds: 3600, path: token}
              - configMap:
                  name: hanse-roots
                  items:
                    - {key: roots.pem, path: roots.pem}
{{- end }}
