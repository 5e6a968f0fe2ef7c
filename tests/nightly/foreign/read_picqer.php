<?php
// Reads with picqer/exact-php-client, unchanged; Guzzle as Debian packages it.
$given = json_decode($argv[1], true);
require 'GuzzleHttp/autoload.php';
spl_autoload_register(function (string $name) use ($given): void {
    $path = $given['checkout'] . '/src/' . strtr($name, '\\', '/') . '.php';
    is_file($path) && require $path;
});

use Picqer\Financials\Exact\{Account, Connection, Contact, Me, SalesInvoice};

$connection = new Connection();
$connection->setBaseUrl($given['base_url']);
$connection->setExactClientId($given['client_id']);
$connection->setExactClientSecret($given['client_secret']);
$connection->setRedirectUrl($given['redirect_uri']);
$connection->setAuthorizationCode($given['code']);
$connection->connect();
$connection->setDivision($given['division']);

$fields = fn (array $models, string $field): array => array_map(fn ($m) => $m->$field, $models);
$account = new Account($connection);
$code = $account->filter('Name ne null', '', 'ID,Code')[0]->Code;
$invoice = new SalesInvoice($connection);
$first = $invoice->filter("Modified ge datetime'2000-01-01'", 'SalesInvoiceLines', 'InvoiceID', ['$top' => 1]);
try {
    $account->filter('Name ne null', '', 'Nonsense');
} catch (Exception $error) {
    $refused = $error->getMessage();
}
echo json_encode([
    'user' => (new Me($connection))->find()->CurrentDivision,
    'accounts' => $fields($account->filter('Name ne null', '', 'ID'), 'ID'),
    'unselected' => $fields((new Contact($connection))->get(), 'ID'),
    'padded' => $code,
    'found' => $account->findId(trim($code)),
    'invoices' => count($first),
    'remaining' => $connection->getDailyLimitRemaining(),
    'refused' => $refused ?? null,
]);
