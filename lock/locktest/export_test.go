package locktest

import "context"

// Names returns the names of all cases.
func Names() map[string]bool {
	names := make(map[string]bool)
	for _, r := range rules() {
		names[r.name] = true
	}
	return names
}

// CheckOnly runs one case.
func CheckOnly(ctx context.Context, h Harness, name string) *Failure {
	for _, r := range rules() {
		if r.name == name {
			return r.run(ctx, h)
		}
	}
	return &Failure{Case: name, Detail: "there is no such case"}
}
