// Package nearest finds the word that was probably meant, for errors about one
// that does not exist.
package nearest

// Word returns the word with the smallest distance (see [Distance]) to what was
// given, the first of several; "" if there are no words.
func Word(given string, words []string) string {
	found, least := "", 0
	for _, candidate := range words {
		if d := Distance(given, candidate); found == "" || d < least {
			found, least = candidate, d
		}
	}
	return found
}

// Near is [Word] where that is so like what was given that it may have been meant:
// at most half of what was given is otherwise. Else it returns "".
func Near(given string, words []string) string {
	found := Word(given, words)
	if 2*Distance(given, found) > len(given) {
		return ""
	}
	return found
}

// Distance is Levenshtein's: how many bytes to insert, remove or replace to make
// b of a.
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
