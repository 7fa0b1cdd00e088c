package audit

import (
	"slices"
	"strings"

	"github.com/drover-batch/drover/budget"
	"github.com/drover-batch/drover/jobs"
)

// Account is what an account of the ledger says, and what the provider does.
type Account struct {
	Name      string   `json:"name"`
	Limit     jobs.USD `json:"limit"` // 0 for none
	Billed    jobs.USD `json:"billed"`
	Recorded  jobs.USD `json:"recorded"`
	Overshoot jobs.USD `json:"overshoot"`
	Booked    jobs.USD `json:"booked"` // by outcomes and waste
}

// checkMoney: nothing is held any more, no limit was exceeded, and no less is
// on record than was billed, in the sums as in the book.
func (a *Audit) checkMoney() {
	accounts := a.limits()
	for _, s := range a.Sums {
		account := accounts[s.Account]
		if account == nil {
			account = &Account{Name: s.Account}
			accounts[s.Account] = account
		}
		if s.Limit > 0 {
			account.Limit = s.Limit // it may have been raised since
		}
		account.Recorded += s.Spent
		if s.Held != 0 {
			a.object(Job{}, "%s still holds %s", s.Account, s.Held)
		}
		if known := s.Spent - a.presumed(s); account.Limit > 0 && known > account.Limit {
			a.object(Job{}, "%s has spent %s of %s", s.Account, known, account.Limit)
		}
	}
	a.bill(accounts)
	presumed := a.booked(accounts)
	for name, account := range accounts {
		if account.Limit > 0 {
			account.Overshoot = max(0, account.Billed-account.Limit)
		}
		if account.Overshoot > 0 {
			a.object(Job{}, "%s was billed %s of %s", name, account.Billed, account.Limit)
		}
		if account.Recorded < account.Billed {
			a.object(Job{}, "%s was billed %s and knows of %s", name, account.Billed, account.Recorded)
		}
		// What died with a worker that had just been answered, or stopped while
		// Redis was away or its sums could not be rebuilt, is in the sums alone,
		// and so is what was presumed of one that was frozen through a flush;
		// what was presumed of a worker that came back may be in the book alone.
		if account.Recorded < account.Booked-presumed[name] || account.Recorded > account.Booked && a.allTold() {
			a.object(Job{}, "%s has %s in the book, %s of it presumed, and %s in the sums", name, account.Booked, presumed[name], account.Recorded)
		}
		a.Figures.Accounts = append(a.Figures.Accounts, *account)
	}
	slices.SortFunc(a.Figures.Accounts, func(x, y Account) int { return strings.Compare(x.Name, y.Name) })
}

// limits are the accounts that have one.
func (a *Audit) limits() map[string]*Account {
	accounts := map[string]*Account{}
	for _, b := range a.Batches {
		if name := budget.BatchAccount(b.ID); b.Limit > 0 {
			accounts[name] = &Account{Name: name, Limit: b.Limit}
		}
	}
	for _, b := range a.Budgets {
		if name := budget.Account(b.Name); b.Limit > 0 {
			accounts[name] = &Account{Name: name, Limit: b.Limit}
		}
	}
	return accounts
}

// presumed is the part of an account's sum that may be above its limit: when
// Redis was lost together with workers, nobody knows any more what their calls
// did cost, and they count at their worst.
func (a *Audit) presumed(s budget.Sum) jobs.USD {
	had := func(k Kind) bool { return slices.ContainsFunc(a.Faults, func(f Fault) bool { return f.Kind == k }) }
	if !had(Flush) || !had(Kill) {
		return 0
	}
	return s.Presumed + s.Ambiguous
}

// bill adds up what the provider charged to each account.
func (a *Audit) bill(accounts map[string]*Account) {
	for _, c := range a.calls {
		a.charge(accounts, c.job.Batch, c.Model, func(account *Account) { account.Billed += c.cost })
	}
}

// booked adds up what outcomes and waste have on record, and returns what of
// it was presumed of workers that seemed dead.
func (a *Audit) booked(accounts map[string]*Account) map[string]jobs.USD {
	presumed := map[string]jobs.USD{}
	for job, records := range a.book {
		for _, r := range records {
			a.charge(accounts, job.Batch, r.Model, func(account *Account) {
				account.Booked += r.Cost
				if r.where == "presumption" || r.where == unended {
					presumed[account.Name] += r.Cost
				}
			})
		}
	}
	return presumed
}

// charge calls add for every account that pays for a batch's calls of a model.
// A batch that was charged has an account.
func (a *Audit) charge(accounts map[string]*Account, batch, model string, add func(*Account)) {
	own := budget.BatchAccount(batch)
	if accounts[own] == nil {
		accounts[own] = &Account{Name: own}
	}
	add(accounts[own])
	for _, b := range a.Budgets {
		account := accounts[budget.Account(b.Name)]
		if account != nil && (b.Tenant == "" || b.Tenant == a.tenants[batch]) && (b.Model == "" || b.Model == model) {
			add(account)
		}
	}
}

// allTold reports whether every worker lived to tell Redis what its calls did
// cost.
func (a *Audit) allTold() bool {
	return !slices.ContainsFunc(a.Faults, func(f Fault) bool {
		return f.Kind == Kill || f.Kind == Stop && a.while(&f, Redis, Broker) || f.Kind == Freeze && a.while(&f, Flush)
	})
}
