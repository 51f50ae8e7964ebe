package retail

import (
	"os"
	"slices"
	"strings"
	"testing"
)

const head = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"

func read(t *testing.T, rows string) []Line {
	t.Helper()
	lines, err := Read(strings.NewReader(head + rows))
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestParsePenceReadsEveryDigit(t *testing.T) {
	good := map[string]int64{
		"2.55": 255, "2.1": 210, "18": 1800, "0": 0, "0.85": 85, "950.99": 95099,
		"-0.5": -50, "-11062.06": -1106206, "1.10": 110,
	}
	for text, want := range good {
		if got, err := ParsePence(text); err != nil || got != want {
			t.Errorf("ParsePence(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", ".5", "1.", "1.234", "1e3", "£2", "2,55", "NaN", " 1", "1 "} {
		if got, err := ParsePence(text); err == nil {
			t.Errorf("ParsePence(%q) = %d, want an error", text, got)
		}
	}
}

func TestReadNamesTheLineItCannotRead(t *testing.T) {
	rows := "1,10002,GLOBE,1,12/1/10 8:26,0.85,17850,France\n" +
		"1,10002,GLOBE,one,12/1/10 8:26,0.85,17850,France\n"
	_, err := Read(strings.NewReader(head + rows))
	if err == nil || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("got %v, want an error that names line 3", err)
	}
	if _, err := Read(strings.NewReader("a,b,c,d,e,f,g,h\n")); err == nil {
		t.Error("a file with other columns was read")
	}
}

func TestReadTrimsBlanksAndRaisesCodes(t *testing.T) {
	got := read(t, "1,15056bl ,  PARASOL   BLACK ,2,12/1/10 8:26,5.95,17850,France\n")[0]
	want := Line{Invoice: "1", Code: "15056BL", Name: "PARASOL BLACK", Quantity: 2, Price: 595,
		Customer: "17850"}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestCatalogueKeepsGoodsAlone(t *testing.T) {
	lines := read(t, `1,POST,POSTAGE,1,12/1/10 8:26,18,17850,France
1,M,Manual,1,12/1/10 8:26,1,17850,France
1,BANK CHARGES,Bank Charges,1,12/1/10 8:26,15,17850,France
1,AMAZONFEE,AMAZON FEE,1,12/1/10 8:26,1,,France
C2,10002,GLOBE,-1,12/1/10 8:26,0.85,17850,France
3,10003,,-5,12/1/10 8:26,0,,France
3,10004,damages,5,12/1/10 8:26,1,,France
3,10005,GIFT,5,12/1/10 8:26,0,,France
3,85123a,HEART,6,12/1/10 8:26,2.55,17850,France
`)
	got := Catalogue(lines)
	want := []Product{{Code: "85123A", Name: "HEART", Price: 255, Stock: 60}}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestCatalogueTakesTheUsualNameAndPrice(t *testing.T) {
	lines := read(t, `1,10002,OLD NAME,1,12/1/10 8:26,9,17850,France
1,10002,NAME,1,12/1/10 8:26,3,17850,France
1,10002,NAME ,1,12/1/10 8:26,3,17850,France
1,10002,amazon,1,12/1/10 8:26,2,,France
1,10002,amazon,1,12/1/10 8:26,2,,France
1,10002,amazon,1,12/1/10 8:26,9,,France
1,10003,B,1,12/1/10 8:26,9,17850,France
1,10003,A,0,12/1/10 8:26,1,17850,France
1,10004,LAST ONE,1,12/1/10 8:26,9,17850,France
`)
	got := Catalogue(lines)
	want := []Product{
		{Code: "10002", Name: "NAME", Price: 200, Stock: 60}, // 2, 3, 9 twice each: the lowest
		{Code: "10003", Name: "B", Price: 900, Stock: 1},
		{Code: "10004", Name: "LAST ONE", Price: 900, Stock: 1},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestCollectKeepsInvoicesToThePenny(t *testing.T) {
	orders := Collect(read(t, `1,10002,GLOBE,2,12/1/10 8:26,0.85,ann,France
1,10002,GLOBE,3,12/1/10 8:26,0.85,ann,France
1,10002,GLOBE,10,12/1/10 8:26,0.42,ann,France
1,POST,POSTAGE,1,12/1/10 8:26,18,ann,France
2,10002,GLOBE,1,12/1/10 8:26,0.85,bob,France
C3,10002,GLOBE,-1,12/1/10 8:26,0.85,ann,France
4,10002,GLOBE,1,12/1/10 8:26,0.85,,France
2,10003,GIFT,1,12/1/10 8:26,0,bob,France
5,10003,,1,12/1/10 8:26,7.5,ann,France
`), 0)
	if got, want := len(orders.Invoices), 3; got != want {
		t.Fatalf("%d invoices, want %d", got, want)
	}
	first := orders.Invoices[0]
	items := []Item{{"10002@85", 2}, {"10002@85", 3}, {"10002@42", 10}, {"POST@1800", 1}}
	if first.Number != "1" || first.Customer != "ann" || first.Total != 425+420+1800 ||
		!slices.Equal(first.Items, items) {
		t.Errorf("got %+v, want four items for %d", first, 425+420+1800)
	}
	articles := []Article{
		{"10002@85", "GLOBE", 85, 6}, {"10002@42", "GLOBE", 42, 10},
		{"POST@1800", "POSTAGE", 1800, 1}, {"10003@750", "10003", 750, 1},
	}
	if !slices.Equal(orders.Articles, articles) {
		t.Errorf("got %+v, want %+v", orders.Articles, articles)
	}
	if !slices.Equal(orders.Customers, []string{"ann", "bob"}) ||
		orders.Spent["ann"] != 2645+750 || orders.Spent["bob"] != 85 {
		t.Errorf("customers %v spent %v", orders.Customers, orders.Spent)
	}
	if orders.Cancelled != 1 || orders.Unnamed != 1 || orders.Free != 1 || orders.Lines != 6 {
		t.Errorf("left out %d, %d, %d of %d", orders.Cancelled, orders.Unnamed, orders.Free,
			orders.Lines)
	}
}

func TestCollectTakesTheFirstInvoicesWhole(t *testing.T) {
	orders := Collect(read(t, `1,10002,GLOBE,2,12/1/10 8:26,1,ann,France
2,10002,GLOBE,1,12/1/10 8:26,1,bob,France
1,10003,PEN,3,12/1/10 8:26,2,ann,France
`), 1)
	if len(orders.Invoices) != 1 || orders.Total != 800 || len(orders.Articles) != 2 ||
		!slices.Equal(orders.Customers, []string{"ann"}) {
		t.Errorf("got %+v, want the two lines of invoice 1", orders)
	}
}

func TestTheFileOfTheShop(t *testing.T) {
	file, err := os.Open("../../../examples/shop/invoices/online-retail.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }() // it was only read
	lines, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	orders := Collect(lines, 0)
	if got := orders.Lines + orders.Cancelled + orders.Unnamed + orders.Free; got != len(lines) {
		t.Errorf("%d lines are accounted for, want %d", got, len(lines))
	}
	if len(orders.Invoices) != 530 || orders.Total != 19637865 || orders.Free != 1 {
		t.Errorf("%d invoices over %d pence, %d free, want 530 over 19637865, 1 free",
			len(orders.Invoices), orders.Total, orders.Free)
	}
	var spent, sold int64
	for _, s := range orders.Spent {
		spent += s
	}
	for _, a := range orders.Articles {
		sold += a.Sold * a.Price
	}
	if spent != orders.Total || sold != orders.Total {
		t.Errorf("customers spent %d, articles brought %d, want %d", spent, sold, orders.Total)
	}
	for _, p := range Catalogue(lines) {
		if p.Name == "" || p.Price < 1 || p.Stock < 1 || !goodsCode.MatchString(p.Code) {
			t.Errorf("%+v is no product to sell", p)
		}
	}
}
