# Reads with elmas, Exact's own client for Ruby, unchanged; its libraries are those of Debian.
require "json"
require "uri"
require "date"
require "active_support"
require "active_support/core_ext"

# Ruby 3 no longer has this method, and activeresource, of which elmas uses one module, is not in Debian.
module URI
  def self.unescape(text) = URI.decode_www_form_component(text)
end
module ThreadsafeAttributes
  def self.included(base)
    base.define_singleton_method(:threadsafe_attribute) { |*names| attr_accessor(*names) }
  end
end
$LOADED_FEATURES << "active_resource/threadsafe_attributes.rb"
module Kernel
  alias required require
  def require(name) = name == "active_resource/threadsafe_attributes" ? true : required(name)
end

given = JSON.parse(ARGV[0])
$LOAD_PATH.unshift("#{given['checkout']}/lib")
require "elmas"

Elmas.configure do |config|
  config.client_id = given["client_id"]
  config.client_secret = given["client_secret"]
  config.redirect_uri = given["redirect_uri"]
  config.base_url = given["base_url"]
  config.logger = Logger.new(nil)
end
tokens = JSON.parse(Elmas.get_access_token(given["code"]).body)
Elmas.configure { |config| config.access_token = tokens["access_token"] }
Elmas.configure { |config| config.division = Elmas.authorize_division }
page = Elmas::Contact.new.find_all(select: %w[ID FullName])
rows = page.records
puts JSON.generate(
  division: Elmas.division,
  class: rows.first.class.name,
  ids: rows.map { |row| row.attributes[:id] },
  found: Elmas::Account.new.find_all(select: %w[ID Name]).records.length
)
