// Command coredns is the cluster's DNS server: upstream's, with the plug-ins that the Corefile in
// ../dns.yaml names, and no others.
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

// The order in which a query passes the plug-ins: upstream's, but that template comes last, where
// it answers for what is not the cluster's.
func init() {
	dnsserver.Directives = []string{
		"health", "ready", "errors", "log", "cache", "loadbalance", "kubernetes", "template",
	}
}

func main() {
	coremain.Run()
}
