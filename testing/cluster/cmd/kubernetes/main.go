// Command kubernetes is a control plane, a node and a client in one program: etcd, kube-apiserver,
// kube-controller-manager, kube-scheduler, kubelet, kube-proxy and kubectl, each the upstream
// command unchanged.
//
// The name it is started under chooses the command, or else its first argument, as in busybox. One
// program instead of seven because they share most of their code: it links once and takes a
// quarter of the space.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"

	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"

	_ "k8s.io/client-go/plugin/pkg/client/auth"
	kubectl "k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"

	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// Each runs one upstream command on os.Args and ends the process.
var commands = map[string]func(){
	"etcd":                    func() { etcdmain.Main(os.Args) },
	"kube-apiserver":          func() { server(apiserver.NewAPIServerCommand()) },
	"kube-controller-manager": func() { server(controllers.NewControllerManagerCommand()) },
	"kube-scheduler":          func() { server(scheduler.NewSchedulerCommand()) },
	"kube-proxy":              func() { server(proxy.NewProxyCommand()) },
	"kubelet":                 func() { server(kubelet.NewKubeletCommand(context.Background())) },
	"kubectl":                 client,
}

func main() {
	if run, found := commands[filepath.Base(os.Args[0])]; found {
		run()
		return
	}
	if len(os.Args) > 1 {
		if run, found := commands[os.Args[1]]; found {
			os.Args = os.Args[1:]
			run()
			return
		}
	}
	names := make([]string, 0, len(commands))
	for name := range commands {
		names = append(names, name)
	}
	sort.Strings(names)
	fmt.Fprintf(os.Stderr, "usage: kubernetes COMMAND ...; COMMAND is one of %s\n", strings.Join(names, ", "))
	os.Exit(2)
}

func server(command *cobra.Command) {
	os.Exit(cli.Run(command))
}

// The body of upstream's cmd/kubectl/kubectl.go, which is a main package and can't be called.
func client() {
	// Verbosity counts while the command is built (plug-ins, .kuberc), which is before its own
	// flags are read; a level that is no number is reported by them.
	_, _ = logs.GlogSetter(kubectl.GetLogVerbosity(os.Args))
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err)
	}
}
