package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hanse-mesh/hanse/api/policy"
)

// getOptions are what "get" reads, and how.
type getOptions struct {
	out        output
	namespace  string
	selector   string
	where      []string
	watch      bool
	consistent bool
}

func newGetCommand(opts *operatorOptions) *cobra.Command {
	var g getOptions
	cmd := &cobra.Command{
		Use:   "get KIND [NAME...]",
		Short: "List objects of a kind, or show some by name",
		Long: `Lists what the federation holds:

  ` + kindList() + `

A kind may be given as it stands here, without its "s", or as documents spell it; KIND/NAME is one object, and services are named
NAMESPACE/NAME. What -o yaml shows of documents can be applied again as it is.

With --watch the command goes on and shows each change: kinds that are in the replicated log as they are written, without losing one;
the others when they differ from what was seen two seconds ago.

--where filters by what the kind has for it: services, gateways and workloads by cluster, verdicts by prober, too, the audit log by actor,
kind, name, and the times after and before.`,
		Example: `  hanse get exportrules
  hanse get er/shop-everywhere -o yaml
  hanse get policies -l hanse.dev/set=shop -o yaml
  hanse get services -n shop
  hanse get clusters -o wide
  hanse get failoverpolicies --watch
  hanse get audit --where kind=ExportRule,actor=alice`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError("%s needs a kind\nkinds are:\n  %s", cmd.CommandPath(), kindList())
			}
			return nil
		},
		ValidArgsFunction: completeObjects(opts, kinds),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := findWanted(args, g.namespace)
			if err != nil {
				return err
			}
			return g.run(cmd, opts, w)
		},
	}
	g.bind(cmd)
	return cmd
}

func (g *getOptions) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&g.namespace, "namespace", "n", "", "only services of this namespace")
	f.StringVarP(&g.selector, "selector", "l", "", "only documents whose labels match, such as team=shop,!draft")
	f.StringSliceVar(&g.where, "where", nil, "only what matches KEY=VALUE; the keys are those of the kind")
	f.BoolVarP(&g.watch, "watch", "w", false, "go on and show each change")
	f.BoolVar(&g.consistent, "consistent", false, "ask the leader, so that every write that was acknowledged is there")
	g.out.bind(cmd)
}

// wanted is what the arguments ask for: all objects of some kinds, or some of one.
type wanted struct {
	kinds []kind
	names []string
}

// findWanted reads KIND, KIND NAME… or KIND/NAME.
func findWanted(args []string, namespace string) (wanted, error) {
	word, name, oneName := strings.Cut(args[0], "/")
	found, err := findKinds(word)
	if err != nil {
		return wanted{}, err
	}
	w := wanted{kinds: found, names: slices.Clone(args[1:])}
	if oneName {
		if len(w.names) > 0 {
			return wanted{}, usageError("give either KIND/NAME or KIND and names, not %q", args)
		}
		w.names = []string{name}
	}
	if len(w.names) > 0 && len(found) > 1 {
		return wanted{}, usageError("a name needs its kind: %s", policy.Names(policy.Kinds()))
	}
	for i, n := range w.names {
		if found[0].namespaced && namespace != "" && !strings.Contains(n, "/") {
			n = namespace + "/" + n
			w.names[i] = n
		}
		if err := found[0].checkName(n); err != nil {
			return wanted{}, err
		}
	}
	return w, nil
}

// check refuses filters that the kinds do not have: to ignore one would show more than was asked for.
func (g *getOptions) check(w wanted) error {
	if err := g.out.check(); err != nil {
		return err
	}
	for _, k := range w.kinds {
		if g.namespace != "" && !k.namespaced {
			return usageError("--namespace: %s have no namespace", k.plural)
		}
		if g.selector != "" && !k.document {
			return usageError("--selector: %s have no labels; documents do", k.plural)
		}
		for _, pair := range g.where {
			key, _, ok := strings.Cut(pair, "=")
			if !ok || !slices.Contains(k.filters, key) {
				return usageError("--where %q: %s can be filtered by: %s", pair, k.plural, orNone(strings.Join(k.filters, ", ")))
			}
		}
	}
	if _, err := policy.ParseSelector(g.selector); err != nil {
		return usageError("--selector: %w", err)
	}
	return nil
}

func (g *getOptions) run(cmd *cobra.Command, opts *operatorOptions, w wanted) error {
	if err := g.check(w); err != nil {
		return err
	}
	c, err := opts.client()
	if err != nil {
		return err
	}
	if g.watch {
		return g.follow(cmd, c, w)
	}
	return g.show(cmd, c, w)
}

func (g *getOptions) show(cmd *cobra.Command, c *client, w wanted) error {
	var all []found
	for _, k := range w.kinds {
		items, err := g.read(cmd.Context(), c, k, w.names)
		if err != nil {
			return err
		}
		all = append(all, found{k, items})
	}
	return g.out.printFound(cmd, all, len(w.names) == 1)
}
