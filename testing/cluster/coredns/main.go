// Command coredns is the cluster's DNS server: upstream's, with the plug-ins that the Corefile in
// xtask/src/cluster/dns.rs names, and no others.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/template"
)

// The order in which a query passes the plug-ins, as upstream's plugin.cfg has it.
func init() {
	dnsserver.Directives = []string{
		"health", "ready", "errors", "log", "cache", "loadbalance", "template", "kubernetes",
	}
}

func main() {
	coremain.Run()
}
