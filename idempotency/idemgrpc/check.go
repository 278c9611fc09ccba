package idemgrpc

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Check finds what was forgotten between the declarations, [Interceptor.Protect]
// and the server, which would leave methods unprotected without a word. Call it with
// the server once all services are registered:
//
//	paymentspb.RegisterPaymentServiceServer(server, payments)
//	err = protect.Check(server)
//
// Its error names each method that is registered and whose .proto has the policy
// option, unless that says KEY_OFF, while its service is not protected; each protected
// service that is not registered; and [Interceptor.Unary] or [Interceptor.Stream] if
// nobody asked for it and there are protected methods of that kind. Whether they were
// given to the server it cannot know. What a .proto says is known of services
// whose generated code is linked into the program.
func (i *Interceptor) Check(server interface {
	GetServiceInfo() map[string]grpc.ServiceInfo
}) error {
	if server == nil {
		return errors.New("idemgrpc: Check: the server is nil")
	}
	registered := server.GetServiceInfo()
	i.mu.RLock()
	defer i.mu.RUnlock()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(registered)) {
		if !i.services[protoreflect.FullName(name)] {
			errs = append(errs, leftOut(name, registered[name])...)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(i.services)) {
		if _, ok := registered[string(name)]; !ok {
			errs = append(errs, fmt.Errorf("%s is protected, and not registered", name))
		}
	}
	if err := errors.Join(append(errs, i.notAskedFor()...)...); err != nil {
		return linesError{"idemgrpc: ", err}
	}
	return nil
}

// leftOut names the methods of an unprotected service that want to be protected.
func leftOut(service string, info grpc.ServiceInfo) []error {
	names := make([]string, 0, len(info.Methods))
	for _, m := range info.Methods {
		names = append(names, service+"/"+m.Name)
	}
	slices.Sort(names) // grpc-go has them in any order
	var errs []error
	for _, name := range names {
		if said := saidOf(linkedMethod(name)); said.declared && !said.off {
			errs = append(errs, fmt.Errorf("%s: its .proto has the policy option, and its service was not given to Protect", name))
		}
	}
	return errs
}

// notAskedFor names the interceptors without which protected methods are not.
func (i *Interceptor) notAskedFor() []error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(i.methods)) {
		m := i.methods[name]
		switch {
		case !m.protected():
		case m.serverStreams && !i.askedStream.Load():
			errs = append(errs, fmt.Errorf("%s: it is a stream, and the server does not have the interceptor of Stream()", m.name))
		case !m.serverStreams && !i.askedUnary.Load():
			errs = append(errs, fmt.Errorf("%s: it is unary, and the server does not have the interceptor of Unary()", m.name))
		}
	}
	return errs
}
