provider "aws" {}

# Another account, which owns the network at the other end of a peering.
provider "aws" {
  alias      = "partner"
  access_key = var.partner_key
  secret_key = var.partner_secret
}

variable "partner_key" { type = string }
variable "partner_secret" { type = string }

variable "name" { default = "one" }
variable "changed" {
  type    = bool
  default = false
}
variable "gateway_service" { type = string }
variable "interface_service" { type = string }

data "aws_availability_zones" "all" { state = "available" }
data "aws_region" "here" {}
data "aws_caller_identity" "partner" { provider = aws.partner }

locals {
  zones   = slice(data.aws_availability_zones.all.names, 0, 2)
  offices = var.changed ? ["192.0.2.0/24", "198.51.100.0/24"] : ["192.0.2.0/24"]
  ports   = var.changed ? [80, 443] : [443]
}
