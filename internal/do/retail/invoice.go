package retail

import "strconv"

// An Item is one line of an order: pieces of one article.
type Item struct {
	Article  string
	Quantity int64
}

// An Article is one thing at one price. The file sells the same stock code at several
// prices (by quantity, by customer), and a shop has one price for a product; so each
// price of a code is an article of its own.
type Article struct {
	// Key names the article: the code, an @, the pence.
	Key   string
	Name  string
	Price int64
	// Sold is how many pieces all the invoices take together.
	Sold int64
}

// An Invoice is one order of one customer.
type Invoice struct {
	Number   string
	Customer string
	Items    []Item
	// Total is what the invoice comes to, in pence.
	Total int64
}

// Orders are the invoices that a shop can replay, and all that they need.
type Orders struct {
	// Invoices stand in the order of the file, each with its lines in theirs.
	Invoices []Invoice
	// Articles stand in the order of their first sale.
	Articles []Article
	// Spent says for each customer the sum of all his invoices, in pence.
	Spent map[string]int64
	// Customers stand in the order of their first invoice.
	Customers []string
	// Lines counts the lines that became items.
	Lines int
	// Cancelled, Unnamed and Free count the lines that stay out: on a cancelled invoice; of
	// nobody, so that no wallet could pay; and at a price of nothing, which changes no sum.
	Cancelled, Unnamed, Free int
	// Total is the sum of all invoices, in pence.
	Total int64
}

// Collect groups the lines into orders. It keeps postage, fees and corrections, which are on
// the invoice and were paid; and it keeps two lines of the same article apart, as the
// file does. It takes the first most invoices, or all of them if most is 0.
func Collect(lines []Line, most int) Orders {
	orders := Orders{Spent: map[string]int64{}}
	invoices, articles := map[string]int{}, map[string]int{}
	for _, l := range lines {
		switch {
		case l.Cancelled():
			orders.Cancelled++
			continue
		case l.Customer == "":
			orders.Unnamed++
			continue
		case !l.Sold():
			orders.Free++
			continue
		}
		i, ok := invoices[l.Invoice]
		if !ok {
			if most > 0 && len(orders.Invoices) == most {
				continue
			}
			i = len(orders.Invoices)
			invoices[l.Invoice] = i
			orders.Invoices = append(orders.Invoices,
				Invoice{Number: l.Invoice, Customer: l.Customer})
		}
		key := l.Code + "@" + strconv.FormatInt(l.Price, 10)
		a, ok := articles[key]
		if !ok {
			a = len(orders.Articles)
			articles[key] = a
			orders.Articles = append(orders.Articles,
				Article{Key: key, Name: l.title(), Price: l.Price})
		}
		if _, ok := orders.Spent[l.Customer]; !ok {
			orders.Customers = append(orders.Customers, l.Customer)
		}
		sum := l.Quantity * l.Price
		invoice := &orders.Invoices[i]
		invoice.Items = append(invoice.Items, Item{Article: key, Quantity: l.Quantity})
		invoice.Total += sum
		orders.Articles[a].Sold += l.Quantity
		orders.Spent[l.Customer] += sum
		orders.Total += sum
		orders.Lines++
	}
	return orders
}

// title is the name of what the line sells; where it has none, its code.
func (l Line) title() string {
	if l.Name == "" {
		return l.Code
	}
	return l.Name
}
