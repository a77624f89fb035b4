package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	restapi "github.com/hanse-mesh/hanse/api/client"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/rest"
)

func newWorkloadCommand(opts *operatorOptions) *cobra.Command {
	cmd := &cobra.Command{Use: "workload", Short: "Workloads of the sites"}
	remove := deleteOne(opts, &deleteOptions{}, model.KindWorkload)
	remove.Use, remove.Example = "deregister CLUSTER/NAME", "  hanse workload deregister eu/ledger-1\n  hanse workload deregister eu/ledger-1 --dry-run"
	remove.Short = "End the registration of a workload that has no proxy"
	remove.Long = `Ends what 'hanse workload register' began: calls go elsewhere at once. What a proxy has registered ends with the proxy ('hanse proxy drain').`
	cmd.AddCommand(
		listCommand(opts, "workloads", "List the sites' workloads", "  hanse workload list\n  hanse workload list --where cluster=eu"),
		newWorkloadRegisterCommand(opts), remove,
	)
	return cmd
}

// registerOptions describe a workload without a proxy.
type registerOptions struct {
	registration model.Registration
	locality     string
	ports        []string
	dryRun       bool
	out          output
}

func newWorkloadRegisterCommand(opts *operatorOptions) *cobra.Command {
	var o registerOptions
	cmd := &cobra.Command{
		Use:   "register CLUSTER/NAME",
		Short: "Register a workload that has no proxy, or change its registration",
		Long: `Makes a workload part of a service where no 'hanse proxy' runs beside it: an appliance, a machine that others manage. It needs an Envoy, or
something else that takes mutual TLS at --address and --inbound-port, with a certificate of the site's CA for the namespace and the service
account. Nobody checks its health: it counts as ready until it is drained (--drain) or deregistered.

The site decides: its agent takes registrations of the namespaces that it was started with (hanse agent --api-workloads). A proxy that
attaches under the same name later takes the workload over. The whole registration is given each time; what is left out is not kept.`,
		Example: `  hanse workload register eu/ledger-1 --namespace shop --service ledger --address 10.0.0.9 --inbound-port 15006 --port name=http,number=80,protocol=http
  hanse workload register eu/ledger-1 --namespace shop --service ledger --address 10.0.0.9 --inbound-port 15006 --port number=80 --export --dry-run`,
		Args: oneArg("CLUSTER/NAME, for example eu/ledger-1"), ValidArgsFunction: completeNames(opts, model.KindWorkload),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, opts, args[0]) },
	}
	f, r := cmd.Flags(), &o.registration
	f.StringVarP(&r.Namespace, "namespace", "n", "", "namespace of the service and of the workload's certificate")
	f.StringVar(&r.ServiceAccount, "service-account", "", "service account in the workload's certificate (default: default)")
	f.StringVar(&r.Service, "service", "", "service that it is a part of")
	f.StringArrayVar(&o.ports, "port", nil, "a port of the service: name=NAME,number=N,protocol=http|http2|grpc|tcp,target=HOST:PORT (repeatable)")
	f.StringVar(&r.Address, "address", "", "IP address at which the site's Envoys and gateways reach it")
	f.Uint16Var(&r.InboundPort, "inbound-port", 7721, "port at which it takes mutual TLS")
	f.StringVar(&o.locality, "locality", "", "where it runs: REGION or REGION/ZONE (default: the site's region)")
	f.BoolVar(&r.Export, "export", false, "offer it to other clusters, as far as the rules allow")
	f.BoolVar(&r.Draining, "drain", false, "keep new calls away from it")
	f.BoolVar(&o.dryRun, "dry-run", false, "have everything checked, but nothing done")
	o.out.bind(cmd)
	return cmd
}

// registered is what the federation says of a registration.
type registered struct {
	Cluster  string `json:"cluster"`
	Workload string `json:"workload"`
	rest.Written
}

func (o *registerOptions) run(cmd *cobra.Command, opts *operatorOptions, name string) error {
	if err := o.out.check(); err != nil {
		return err
	}
	cluster, workload, err := cutWorkload(name)
	if err != nil {
		return err
	}
	if err := o.complete(); err != nil {
		return err
	}
	c, err := opts.client()
	if err != nil {
		return err
	}
	done := registered{Cluster: cluster, Workload: workload}
	contentType, body, err := asJSON(o.registration)
	if err != nil {
		return err
	}
	query := url.Values{}
	if o.dryRun {
		query.Set("dryRun", "true")
	}
	if err := into(&done.Written)(c.api().PutWorkloadWithBody(cmd.Context(), cluster, workload, nil, contentType, body, withQuery(query))); err != nil {
		return err
	}
	return o.out.printNamed(cmd, done, []string{"workload/" + name}, func(w io.Writer) {
		fmt.Fprintln(w, "workload/"+name, done.text())
	})
}

func (r registered) text() string {
	switch {
	case !r.Changed:
		return "unchanged"
	case r.DryRun:
		return "registered (dry run: nothing is written)"
	}
	return "registered"
}

// complete reads the flags that are more than one value.
func (o *registerOptions) complete() error {
	r := &o.registration
	if r.Namespace == "" || r.Service == "" || r.Address == "" || len(o.ports) == 0 {
		return usageError("a registration needs --namespace, --service, --address and --port")
	}
	if o.locality != "" {
		l, err := model.ParseLocality(o.locality)
		if err != nil {
			return usageError("--locality: %w", err)
		}
		r.Region, r.Zone = l.Region, l.Zone
	}
	for _, text := range o.ports {
		pairs, err := parsePairs("port", text, "name", "number", "protocol", "target")
		if err != nil {
			return err
		}
		number, err := strconv.ParseUint(pairs["number"], 10, 16)
		if err != nil || number == 0 {
			return usageError("--port %q: number must be from 1 to 65535", text)
		}
		r.Ports = append(r.Ports, model.RegistrationPort{
			Name: pairs["name"], Number: uint16(number), Protocol: model.Protocol(pairs["protocol"]), Target: pairs["target"],
		})
	}
	return nil
}

// cutWorkload reads CLUSTER/NAME.
func cutWorkload(name string) (cluster, workload string, err error) {
	cluster, workload, ok := strings.Cut(name, "/")
	if !ok || cluster == "" || workload == "" || strings.Contains(workload, "/") {
		return "", "", usageError("%q is not CLUSTER/NAME, for example eu/ledger-1", name)
	}
	return cluster, workload, nil
}

// getWorkload and removeWorkload ask a site for a workload by CLUSTER/NAME, or for the end of its registration.
func getWorkload(ctx context.Context, api *restapi.Client, name string, edit restapi.RequestEditorFn) (*http.Response, error) {
	cluster, workload, err := cutWorkload(name)
	if err != nil {
		return nil, err
	}
	return api.GetWorkload(ctx, cluster, workload, nil, edit)
}

func removeWorkload(ctx context.Context, api *restapi.Client, name string, edit restapi.RequestEditorFn) (*http.Response, error) {
	cluster, workload, err := cutWorkload(name)
	if err != nil {
		return nil, err
	}
	return api.DeleteWorkload(ctx, cluster, workload, nil, edit)
}
