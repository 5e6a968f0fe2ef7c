// Reads with mcnijman/go-exactonline, unchanged; its libraries are those of Debian.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	exactonline "github.com/mcnijman/go-exactonline"
	"github.com/mcnijman/go-exactonline/api"
	"golang.org/x/oauth2"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	var given map[string]interface{}
	check(json.Unmarshal([]byte(os.Args[1]), &given))
	text := func(name string) string { return given[name].(string) }
	ctx := context.Background()
	app := oauth2.Config{
		ClientID:     text("client_id"),
		ClientSecret: text("client_secret"),
		RedirectURL:  text("redirect_uri"),
		Endpoint:     oauth2.Endpoint{TokenURL: text("base_url") + "/api/oauth2/token"},
	}
	token, err := app.Exchange(ctx, text("code"))
	check(err)
	client := exactonline.NewClient(oauth2.NewClient(ctx, app.TokenSource(ctx, token)))
	check(client.SetBaseURL(text("base_url") + "/"))
	division, err := client.GetCurrentDivisionID(ctx)
	check(err)
	options := api.NewListOptions()
	options.Select.Set([]string{"ID", "FullName"})
	contacts, err := client.CRM.Contacts.List(ctx, division, true, options)
	check(err)
	ids := []string{}
	for _, row := range contacts {
		ids = append(ids, row.ID.String())
	}
	out, err := json.Marshal(map[string]interface{}{"division": division, "ids": ids})
	check(err)
	fmt.Println(string(out))
}
