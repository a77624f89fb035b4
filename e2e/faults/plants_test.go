//go:build e2e

package faults

import (
	"context"
	"net"
	"time"
)

// expiredCertificate is a proxy that died: its Envoy goes on with a certificate that nobody renews.
func expiredCertificate() plant {
	return plant{
		name: "expired certificate", after: certificateLife, code: "certificate-expired", subject: "proxy/ap/parts-ap-1", says: "expired at",
		explained: explanation{"ap/parts-ap-1", "ended at"},
		strike:    func(_ context.Context, w *world) error { w.fleet.KillOnly("parts-ap-1"); return nil },
		mend:      func(_ context.Context, w *world) error { return w.startProxy(w.proxies["parts-ap-1"]) },
	}
}

// documents is a fault that stands in a document.
func documents(wrong string) (strike, mend func(context.Context, *world) error) {
	return func(ctx context.Context, w *world) error { return w.apply(ctx, wrong) },
		func(ctx context.Context, w *world) error { return w.apply(ctx, wellRules) }
}

// plants are the faults that show within seconds and leave every clock alone.
func plants() []plant {
	region := plant{name: "wrong region name", code: "unknown-region", subject: "FailoverPolicy/default", says: `did you mean "us-east"`, explained: explanation{"eu/web-eu-1", "us-eats"}}
	region.strike, region.mend = documents(failoverPolicy("us-eats"))
	missing := plant{name: "export rule missing", code: "export-rule-missing", subject: "service/shop/cart/us", says: "no export rule", explained: explanation{"eu/web-eu-1", "cluster us"}}
	missing.strike, missing.mend = documents(shopRule("depot", `"*"`))
	denied := plant{name: "denied identity", code: "caller-denied", subject: "proxy/eu/web-eu-1", says: "cluster us offers it to: ap", explained: explanation{"eu/web-eu-1", "not to cluster eu"}}
	denied.strike, denied.mend = documents(shopRule("shop", join("us", "ap")))
	return []plant{region, missing, denied, refused(), unreachable(), draining(), conflict()}
}

// refused is a caller that wants a port which something else has.
func refused() plant {
	late := &proxy{name: "web-us-1", site: "us"}
	var taken net.Listener
	return plant{
		name: "NACK", code: "nack", subject: "proxy/us/web-us-1", says: "ddress already in use",
		explained: explanation{"us/web-us-1", "refuses a part of its configuration"},
		strike: func(ctx context.Context, w *world) (err error) {
			if taken, err = net.Listen("tcp", w.ports.address()); err != nil {
				return err
			}
			late.upstream = taken.Addr().String()
			return w.introduce(ctx, late)
		},
		mend: func(_ context.Context, w *world) error {
			_ = taken.Close()
			return w.stop(late.name)
		},
	}
}

func skewed() plant {
	return plant{
		name: "clock skew", code: "clock-skew", subject: "agent/eu", says: "ahead of the nodes' clocks",
		strike: func(_ context.Context, w *world) error { return w.setClock("agent-eu", 45*time.Second) },
		mend:   func(_ context.Context, w *world) error { return w.setClock("agent-eu", 0) },
	}
}

// unreachable is a gateway that is gone while its site still names it.
func unreachable() plant {
	return plant{
		name: "gateway unreachable", code: "gateway-unreachable", subject: "gateway/us/gw-us-2", says: "is not reached by ap, eu",
		explained: explanation{"eu/web-eu-1", "gateway gw-us-2 of us"},
		strike:    func(_ context.Context, w *world) error { w.fleet.Kill("gw-us-2"); return nil },
		mend:      func(_ context.Context, w *world) error { return w.startProxy(w.proxies["gw-us-2"]) },
	}
}

func draining() plant {
	drain := func(verb string) func(context.Context, *world) error {
		return func(ctx context.Context, w *world) error {
			_, err := w.cli(ctx, "proxy", verb, "--data-dir", w.data("gw-us-1"))
			return err
		}
	}
	return plant{
		name: "draining", code: "gateway-draining", subject: "gateway/us/gw-us-1", says: "out of rotation", explained: explanation{"eu/web-eu-1", "out of rotation"},
		strike: drain("drain"), mend: drain("undrain"),
	}
}

// conflict is a second cluster that offers the service's port with another protocol.
func conflict() plant {
	other := &proxy{name: "cart-eu-1", site: "eu", service: "cart", protocol: "tcp"}
	return plant{
		name: "conflict", code: "port-conflict", subject: "service/shop/cart", says: "port 8080 is tcp in cluster eu",
		explained: explanation{"eu/web-eu-1", "port 8080 of service cart.shop is"},
		strike:    func(ctx context.Context, w *world) error { return w.introduce(ctx, other) },
		mend:      func(_ context.Context, w *world) error { return w.stop(other.name) },
	}
}

// stale is an agent that hangs. The five minutes pass on the nodes' clocks only.
func stale() plant {
	return plant{
		name: "stale feed", code: "feed-stale", subject: "cluster/ap", says: "has been silent for",
		strike: func(_ context.Context, w *world) error {
			w.fleet.Freeze("agent-ap")
			return w.nodesAhead(6 * time.Minute)
		},
		mend: func(_ context.Context, w *world) error {
			w.fleet.Thaw("agent-ap")
			return w.nodesAhead(0)
		},
	}
}
