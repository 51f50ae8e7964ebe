package outbound

import (
	"fmt"
	"net/netip"
	"strings"
)

// special are the networks below the addresses that anybody may have which are not of
// the public internet, by the registries of IANA.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // this network
	netip.MustParsePrefix("10.0.0.0/8"),      // private
	netip.MustParsePrefix("100.64.0.0/10"),   // behind a carrier's translation
	netip.MustParsePrefix("127.0.0.0/8"),     // this machine
	netip.MustParsePrefix("169.254.0.0/16"),  // link-local, where clouds tell their keys
	netip.MustParsePrefix("172.16.0.0/12"),   // private
	netip.MustParsePrefix("192.0.0.0/24"),    // assignments of protocols
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("192.88.99.0/24"),  // relays of 6to4
	netip.MustParsePrefix("192.168.0.0/16"),  // private
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("224.0.0.0/4"),     // multicast
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, and broadcast
	netip.MustParsePrefix("2001::/23"),       // assignments of protocols, Teredo
	netip.MustParsePrefix("2001:db8::/32"),   // documentation
	netip.MustParsePrefix("2002::/16"),       // 6to4, which hides an address of IPv4
	netip.MustParsePrefix("3fff::/20"),       // documentation
}

var (
	// global is all of IPv6 that is given out to be reached by everybody.
	global = netip.MustParsePrefix("2000::/3")
	// translated is where a network's own translation (RFC 6052) has the internet's
	// addresses of IPv4, in the last four bytes.
	translated = netip.MustParsePrefix("64:ff9b::/96")
)

// Public reports whether an address is one of the public internet. What is hidden in
// an address, of IPv4 in one of IPv6, is judged itself, or refused.
func Public(ip netip.Addr) bool {
	ip = ip.WithZone("").Unmap()
	if translated.Contains(ip) {
		b := ip.As16()
		ip = netip.AddrFrom4([4]byte(b[12:]))
	}
	if !ip.IsValid() || ip.Is6() && !global.Contains(ip) {
		return false
	}
	for _, p := range special {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}

// ParseNetworks reads networks and addresses that are separated by commas, such as
// "127.0.0.0/8, 10.1.2.3".
func ParseNetworks(text string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		p, err := netip.ParsePrefix(part)
		if ip, e := netip.ParseAddr(part); e == nil {
			p, err = netip.PrefixFrom(ip.WithZone(""), ip.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%q is no network such as 10.1.0.0/16", part)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}
