package browser

import (
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// Tab opens an address in another tab of the same person, with the same cookies and all that
// pages keep.
func (p Page) Tab(t *testing.T, address string) Page {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(p.ctx)
	if err := chromedp.Do(ctx); err != nil {
		closeTab()
		t.Fatal(err)
	}
	other := Page{t: t, ctx: ctx, expected: p.expected}
	other.hear(closeTab)
	other.do(chromedp.EmulateViewport(1280, 900), chromedp.Navigate(address))
	return other
}

// Offline takes the network away from a page, for the addresses of a pattern such as
// http://127.0.0.1:8080/api/*, or for all if it is "".
func (p Page) Offline(pattern string) {
	p.t.Helper()
	p.network(pattern == "", []*network.Conditions{{URLPattern: pattern, Offline: true,
		DownloadThroughput: -1, UploadThroughput: -1}})
}

// Online gives a page its network back.
func (p Page) Online() {
	p.t.Helper()
	p.network(false, []*network.Conditions{})
}

// rules are network.EmulateNetworkConditionsByRuleParams as older browsers want them, too:
// they are told once for all rules that there is no network.
type rules struct {
	network.EmulateNetworkConditionsByRuleParams
	Offline bool `json:"offline"`
}

func (p Page) network(offline bool, all []*network.Conditions) {
	p.t.Helper()
	byRule := cdp.Command[rules, network.EmulateNetworkConditionsByRuleResult]{
		Method: network.CommandEmulateNetworkConditionsByRule}
	_, err := chromedp.Call(p.ctx, byRule, rules{Offline: len(all) > 0,
		EmulateNetworkConditionsByRuleParams: network.EmulateNetworkConditionsByRuleParams{
			MatchedNetworkConditions: all}})
	if err == nil {
		_, err = chromedp.Call(p.ctx, network.OverrideNetworkState, network.OverrideNetworkStateParams{
			Offline: offline, DownloadThroughput: -1, UploadThroughput: -1})
	}
	if err != nil {
		p.fatal(err)
	}
}
