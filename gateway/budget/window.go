package budget

import (
	"fmt"
	"time"
)

// window returns the name of the window that holds t, and when it ends; both
// are empty for no window.
func window(kind string, t time.Time) (name string, ends time.Time) {
	t = t.UTC()
	y, m, d := t.Date()
	switch kind {
	case "minute":
		return t.Format("2006-01-02T15:04"), t.Truncate(time.Minute).Add(time.Minute)
	case "hour":
		return t.Format("2006-01-02T15"), t.Truncate(time.Hour).Add(time.Hour)
	case "day":
		return t.Format("2006-01-02"), time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC)
	case "week":
		year, week := t.ISOWeek()
		monday := d - (int(t.Weekday())+6)%7
		return fmt.Sprintf("%d-W%02d", year, week), time.Date(y, m, monday+7, 0, 0, 0, 0, time.UTC)
	case "month":
		return t.Format("2006-01"), time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC)
	}
	return "", time.Time{}
}
