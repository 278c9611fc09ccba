package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/examples/payments/paymentspb"
)

const (
	headerStatus = "Idempotency-Status"
	// unmarked stands for the mark of an answer that has none.
	unmarked = "(no mark)"
)

// lost is the answer that did not come.
func lost() Answer { return Answer{Code: codeNetwork} }

// send sends an order to a server and waits for the answer, or for the end of
// the context.
func send(ctx context.Context, client *http.Client, to *instance, o Order) Answer {
	if o.GRPC {
		return sendGRPC(ctx, to, o)
	}
	return sendHTTP(ctx, client, to, o)
}

func sendHTTP(ctx context.Context, client *http.Client, to *instance, o Order) Answer {
	body := fmt.Sprintf(`{"amount":%d,"currency":"EUR","source":%q,"description":%q}`, o.Amount(), o.Source, o.description())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.process.URL, strings.NewReader(body))
	if err != nil {
		return lost()
	}
	req.Header.Set("Authorization", "Bearer sk_test_"+o.Tenant)
	req.Header.Set("Idempotency-Key", o.Key)
	resp, err := client.Do(req)
	if err != nil {
		return lost()
	}
	defer func() { _ = resp.Body.Close() }()
	told, err := io.ReadAll(resp.Body)
	if err != nil {
		return lost()
	}
	return readHTTP(resp, string(told))
}

// paymentID finds a payment in an answer, which has it in one place or another.
var paymentID = regexp.MustCompile(`pay_[A-Z2-7]{26}`)

func readHTTP(resp *http.Response, body string) Answer {
	a := Answer{Mark: resp.Header.Get(headerStatus), Code: strconv.Itoa(resp.StatusCode)}
	if a.Mark == "" {
		a.Mark = unmarked
	}
	a.Text = a.Code + "\n"
	for _, name := range []string{"Content-Type", "Content-Disposition", "Content-Language", "ETag", "Link", "Location"} {
		a.Text += fmt.Sprintf("%s: %q\n", name, resp.Header.Values(name))
	}
	a.Text += body
	if resp.StatusCode == http.StatusCreated {
		a.Payment = paymentID.FindString(a.Text)
		return a
	}
	var problem struct {
		Code string `json:"code"`
	}
	if json.Unmarshal([]byte(body), &problem) == nil && problem.Code != "" {
		a.Code = problem.Code
	}
	return a
}

func sendGRPC(ctx context.Context, to *instance, o Order) Answer {
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer sk_test_"+o.Tenant, "idempotency-key", o.Key)
	var header, trailer metadata.MD
	paid, err := to.payments.CreatePayment(ctx, &paymentspb.CreatePaymentRequest{
		Amount:      o.Amount(),
		Currency:    "EUR",
		Source:      o.Source,
		Description: o.description(),
	}, grpc.Header(&header), grpc.Trailer(&trailer))
	if err != nil {
		return readStatus(trailer, status.Convert(err))
	}
	return Answer{
		Mark: markOf(header),
		Code: "OK",
		Text: fmt.Sprintf("OK\n%s %d %s %s %s",
			paid.GetId(), paid.GetAmount(), paid.GetCurrency(), paid.GetStatus(), paid.GetDescription()),
		Payment: paid.GetId(),
	}
}

// markOf returns the mark of an answer that came whole.
func markOf(md metadata.MD) string {
	if mark := md.Get(headerStatus); len(mark) > 0 {
		return mark[0]
	}
	return unmarked
}

// readStatus reads an error. The service marks it in the trailer. Without that
// the client made the status up, because its deadline or the connection came to
// an end, be it after the header of a success.
func readStatus(trailer metadata.MD, told *status.Status) Answer {
	a := Answer{Mark: markOf(trailer), Code: told.Code().String()}
	if a.Mark == unmarked {
		return lost()
	}
	for _, detail := range told.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			a.Code = strings.ToLower(info.GetReason())
		}
	}
	a.Text = fmt.Sprintf("%v\n%s\n%s", told.Code(), told.Message(), a.Code)
	return a
}
