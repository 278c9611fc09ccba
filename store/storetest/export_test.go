package storetest

import "context"

// CheckOnly runs the one case of that name.
func CheckOnly(ctx context.Context, h Harness, name string) *Failure {
	for _, r := range rules() {
		if r.name == name {
			return r.run(ctx, h)
		}
	}
	return &Failure{Case: name, Detail: "there is no such case"}
}

// Names returns the names of all cases, and for each what it tells on failure.
func Names() map[string][2]string {
	names := make(map[string][2]string)
	for _, r := range rules() {
		names[r.name] = [2]string{r.rule, r.why}
	}
	return names
}

// Count returns how many cases there are.
func Count() int { return len(rules()) }
