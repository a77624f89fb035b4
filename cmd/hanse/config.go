package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"
)

// applyConfig fills every flag that the command line left alone: from its environment variable, else from the YAML file.
func applyConfig(cmd *cobra.Command) error {
	path, err := configPath(cmd.Flags())
	if err != nil {
		return err
	}
	file := map[string]any{}
	if path != "" {
		if file, err = readConfigFile(path); err != nil {
			return err
		}
		if err := checkKeys(path, file, cmd.Flags()); err != nil {
			return err
		}
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if err == nil && !f.Changed && f.Name != "config" {
			err = applyOne(cmd.Flags(), f, path, file)
		}
	})
	return err
}

func configPath(flags *pflag.FlagSet) (string, error) {
	path, err := flags.GetString("config")
	if err != nil || path != "" {
		return path, err
	}
	return os.Getenv(envName("config")), nil
}

// envName is the environment variable of a flag: HANSE_ and the flag's name in capitals with underscores.
func envName(flag string) string {
	return "HANSE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func applyOne(flags *pflag.FlagSet, f *pflag.Flag, path string, file map[string]any) error {
	if value, ok := os.LookupEnv(envName(f.Name)); ok {
		if err := flags.Set(f.Name, value); err != nil {
			return usageError("environment variable %s: %w", envName(f.Name), err)
		}
		return nil
	}
	value, ok := file[f.Name]
	if !ok {
		return nil
	}
	items, err := configValues(value)
	if err == nil {
		err = checkValue(f, value)
	}
	if err != nil {
		return usageError("%s: key %q: %w", path, f.Name, err)
	}
	for _, item := range items {
		if err := flags.Set(f.Name, item); err != nil {
			return usageError("%s: key %q: %w", path, f.Name, err)
		}
	}
	return nil
}

// checkValue refuses what YAML makes of an unquoted word, and lists where one value is meant: both would be taken for something else.
func checkValue(f *pflag.Flag, value any) error {
	switch value.(type) {
	case bool:
		if f.Value.Type() != "bool" {
			return fmt.Errorf("is read as %v: put the value in quotes", value)
		}
	case []any:
		if _, list := f.Value.(pflag.SliceValue); !list {
			return errors.New("takes one value, not a list")
		}
	}
	return nil
}

func readConfigFile(path string) (map[string]any, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usageError("configuration file %s does not exist: check --config", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration file: %w", err)
	}
	text, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return nil, usageError("configuration file %s is not valid YAML: %w", path, err)
	}
	file := map[string]any{}
	in := json.NewDecoder(bytes.NewReader(text))
	// Numbers stay as they are written: a name of seven digits is not 1.2e+06.
	in.UseNumber()
	if err := in.Decode(&file); err != nil {
		return nil, usageError("configuration file %s does not hold keys and values: %w", path, err)
	}
	return file, nil
}

func checkKeys(path string, file map[string]any, flags *pflag.FlagSet) error {
	for key := range file {
		if flags.Lookup(key) == nil || key == "config" {
			return usageError("%s: unknown key %q; keys are the command's flags, see --help", path, key)
		}
	}
	return nil
}

// configValues turns a YAML value into what the flag would be given on the command line: a list gives one value per item, a map
// the form "key=value,key=value".
func configValues(value any) ([]string, error) {
	switch v := value.(type) {
	case []any:
		var out []string
		for _, item := range v {
			one, err := configValues(item)
			if err != nil {
				return nil, err
			}
			out = append(out, one...)
		}
		return out, nil
	case map[string]any:
		var pairs []string
		for k, item := range v {
			one, err := configValues(item)
			if err != nil {
				return nil, err
			}
			pairs = append(pairs, k+"="+strings.Join(one, " "))
		}
		slices.Sort(pairs)
		return []string{strings.Join(pairs, ",")}, nil
	case nil:
		return nil, errors.New("has no value")
	default:
		return []string{fmt.Sprint(v)}, nil
	}
}

// parsePairs reads the form "key=value,key=value" of a composite flag; known lists its keys.
func parsePairs(flag, text string, known ...string) (map[string]string, error) {
	out := map[string]string{}
	for _, pair := range strings.Split(text, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if !ok {
			return nil, usageError("--%s %q: %q is not of the form key=value; keys are %s", flag, text, pair, strings.Join(known, ", "))
		}
		if !slices.Contains(known, key) {
			return nil, usageError("--%s %q: unknown key %q; keys are %s", flag, text, key, strings.Join(known, ", "))
		}
		if _, twice := out[key]; twice {
			return nil, usageError("--%s %q: key %q is given twice", flag, text, key)
		}
		out[key] = value
	}
	return out, nil
}

// logOptions are the flags that every role shares.
type logOptions struct{ level, format string }

func (o *logOptions) bind(flags *pflag.FlagSet) {
	flags.StringVar(&o.level, "log-level", "info", "least level to log: debug, info, warn, error")
	flags.StringVar(&o.format, "log-format", "text", "log format: text or json")
}

func (o *logOptions) logger() (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.level)); err != nil {
		return nil, usageError("--log-level %q is not one of debug, info, warn, error", o.level)
	}
	opts := &slog.HandlerOptions{Level: level}
	switch o.format {
	case "text":
		return slog.New(slog.NewTextHandler(os.Stderr, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(os.Stderr, opts)), nil
	default:
		return nil, usageError("--log-format %q is not text or json", o.format)
	}
}
