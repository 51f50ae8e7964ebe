package transport

import "strings"

// TakesGzip reports whether the lines of an Accept-Encoding name gzip and do not
// weigh it with zero.
func TakesGzip(lines []string) bool {
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			name, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
			if strings.TrimSpace(name) != "gzip" {
				continue
			}
			weight = strings.TrimSpace(weight)
			return strings.Trim(strings.TrimPrefix(weight, "q="), "0.") != "" || weight == ""
		}
	}
	return false
}
