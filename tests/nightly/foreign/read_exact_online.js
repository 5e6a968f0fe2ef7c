// Reads with exact-online, whose address is a constant: its https requests go to the sandbox over http.
const http = require('http')
const given = JSON.parse(process.argv[2])
const { hostname, port } = new URL(given.base_url)
require('https').request = (options, done) => http.request({ ...options, host: hostname, port }, done)

const client = require('exact-online').createClient({
  clientId: given.client_id,
  clientSecret: given.client_secret,
  redirectUri: given.redirect_uri,
})
client.options.clientSecret = given.client_secret
client.setDivision(given.division)
client.authorize(given.code, () => {
  client.sys.me((_, me) => {
    client.logistics.getItems(given.division, (_, items) => {
      console.log(
        JSON.stringify({
          division: me.d.results[0].CurrentDivision,
          ids: items.d.results.map((row) => row.ID),
        }),
      )
    })
  })
})
