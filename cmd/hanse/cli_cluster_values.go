package main

import (
	"cmp"
	"os"
	"strings"

	"sigs.k8s.io/yaml"
)

// unmadeToken stands for the token that will be made.
const unmadeToken = "hanse-cluster-1.not-made-yet"

// chartValues are the values of the chart that the flags mean, over those of the file.
func (j *clusterJoin) chartValues(mint bool) (map[string]any, error) {
	values := map[string]any{}
	if j.values != "" {
		data, err := os.ReadFile(j.values)
		if err != nil {
			return nil, usageError("--values: %w", err)
		}
		if err := yaml.UnmarshalStrict(data, &values); err != nil {
			return nil, usageError("--values %s: %w", j.values, err)
		}
	}
	set(values, j.name, "cluster")
	set(values, j.region, "region")
	if version != "dev" {
		set(values, version, "image", "tag")
	}
	setImage(values, j.image, "image")
	setImage(values, j.proxyImage, "proxyImage")
	if len(j.agentServer) > 0 {
		set(values, anyOf(j.agentServer), "agent", "servers")
	}
	if mint {
		set(values, unmadeToken, "agent", "joinToken")
	} else if j.token != "" {
		set(values, j.token, "agent", "joinToken")
	}
	return values, nil
}

// set puts a value at a path, making what is not there.
func set(values map[string]any, value any, path ...string) {
	for _, key := range path[:len(path)-1] {
		below, ok := values[key].(map[string]any)
		if !ok {
			below = map[string]any{}
			values[key] = below
		}
		values = below
	}
	values[path[len(path)-1]] = value
}

func anyOf(texts []string) []any {
	var out []any
	for _, t := range texts {
		out = append(out, t)
	}
	return out
}

// setImage takes NAME:TAG@DIGEST apart, as the chart wants it.
func setImage(values map[string]any, image, key string) {
	if image == "" {
		return
	}
	name, digest, _ := strings.Cut(image, "@")
	tag := ""
	// A colon before the last slash is a registry's port.
	if n := strings.LastIndex(name, ":"); n > strings.LastIndex(name, "/") {
		name, tag = name[:n], name[n+1:]
	}
	set(values, name, key, "repository")
	set(values, cmp.Or(tag, "latest"), key, "tag")
	set(values, digest, key, "digest")
}
