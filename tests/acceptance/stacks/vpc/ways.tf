# Ways out of the networks and between them.

resource "aws_internet_gateway" "out" {
  vpc_id = aws_vpc.main.id
  tags   = { Name = var.name }
}

resource "aws_egress_only_internet_gateway" "out" {
  vpc_id = aws_vpc.main.id
  tags   = { Name = var.name }
}

resource "aws_eip" "nat" {
  count      = 2
  domain     = "vpc"
  depends_on = [aws_internet_gateway.out]
}

resource "aws_nat_gateway" "nat" {
  allocation_id            = aws_eip.nat[0].id
  secondary_allocation_ids = var.changed ? [aws_eip.nat[1].id] : []
  subnet_id                = aws_subnet.public[0].id
  tags                     = { Name = var.name }
  depends_on               = [aws_route.out]
}

resource "aws_nat_gateway" "inner" {
  connectivity_type              = "private"
  subnet_id                      = aws_ec2_subnet_cidr_reservation.kept.subnet_id
  private_ip                     = "10.21.0.241"
  secondary_private_ip_addresses = var.changed ? ["10.21.0.242", "10.21.0.243"] : ["10.21.0.242"]
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.main.id
  tags   = { Name = "public" }
}

resource "aws_route" "out" {
  route_table_id         = aws_route_table.public.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.out.id
}

resource "aws_route" "out6" {
  route_table_id              = aws_route_table.public.id
  destination_ipv6_cidr_block = "::/0"
  gateway_id                  = aws_internet_gateway.out.id
}

# A route whose target is replaced by another kind of target.
resource "aws_route" "turned" {
  route_table_id         = aws_route_table.public.id
  destination_cidr_block = "203.0.113.0/24"
  network_interface_id   = var.changed ? null : aws_network_interface.spare.id
  nat_gateway_id         = var.changed ? aws_nat_gateway.inner.id : null
}

resource "aws_route" "offices" {
  route_table_id             = aws_route_table.public.id
  destination_prefix_list_id = aws_ec2_managed_prefix_list.offices.id
  network_interface_id       = aws_network_interface.spare.id
}

resource "aws_route_table" "private" {
  vpc_id = aws_vpc.main.id
  route {
    cidr_block     = "0.0.0.0/0"
    nat_gateway_id = aws_nat_gateway.nat.id
  }
  route {
    ipv6_cidr_block        = "::/0"
    egress_only_gateway_id = aws_egress_only_internet_gateway.out.id
  }
  route {
    cidr_block                = aws_vpc.other.cidr_block
    vpc_peering_connection_id = aws_vpc_peering_connection.both.id
  }
  dynamic "route" {
    for_each = var.changed ? [1] : []
    content {
      cidr_block                = aws_vpc.partner.cidr_block
      vpc_peering_connection_id = aws_vpc_peering_connection.partner.id
    }
  }
}

resource "aws_route_table_association" "public" {
  count          = 2
  subnet_id      = aws_subnet.public[count.index].id
  route_table_id = aws_route_table.public.id
}

# With the change, the second zone's subnet gets another table.
resource "aws_route_table_association" "private" {
  count          = 2
  subnet_id      = aws_subnet.private[count.index].id
  route_table_id = var.changed && count.index == 1 ? aws_route_table.public.id : aws_route_table.private.id
}

resource "aws_route_table" "arriving" {
  vpc_id = aws_vpc.main.id
  route {
    cidr_block           = aws_subnet.public[0].cidr_block
    network_interface_id = aws_network_interface.spare.id
  }
}

resource "aws_route_table_association" "arriving" {
  gateway_id     = aws_internet_gateway.out.id
  route_table_id = aws_route_table.arriving.id
}

# -- peers ------------------------------------------------------------------------

resource "aws_vpc" "other" {
  cidr_block           = "10.30.0.0/16"
  enable_dns_hostnames = true
}

resource "aws_subnet" "other" {
  vpc_id     = aws_vpc.other.id
  cidr_block = "10.30.0.0/20"
}

resource "aws_vpc_peering_connection" "both" {
  vpc_id      = aws_vpc.main.id
  peer_vpc_id = aws_vpc.other.id
  auto_accept = true
  tags        = { Name = "both" }
}

resource "aws_vpc_peering_connection_options" "both" {
  vpc_peering_connection_id = aws_vpc_peering_connection.both.id
  accepter { allow_remote_vpc_dns_resolution = true }
  requester { allow_remote_vpc_dns_resolution = var.changed }
}

resource "aws_route" "back" {
  route_table_id            = aws_vpc.other.main_route_table_id
  destination_cidr_block    = aws_vpc.main.cidr_block
  vpc_peering_connection_id = aws_vpc_peering_connection.both.id
}

resource "aws_vpc" "partner" {
  provider   = aws.partner
  cidr_block = "10.40.0.0/16"
  tags       = { Name = var.name }
}

resource "aws_subnet" "partner" {
  provider   = aws.partner
  vpc_id     = aws_vpc.partner.id
  cidr_block = "10.40.0.0/20"
}

resource "aws_nat_gateway" "partner" {
  provider          = aws.partner
  connectivity_type = "private"
  subnet_id         = aws_subnet.partner.id
}

resource "aws_vpc_peering_connection" "partner" {
  vpc_id        = aws_vpc.main.id
  peer_vpc_id   = aws_vpc.partner.id
  peer_owner_id = data.aws_caller_identity.partner.account_id
  tags          = { Name = var.name }
}

resource "aws_vpc_peering_connection_accepter" "partner" {
  provider                  = aws.partner
  vpc_peering_connection_id = aws_vpc_peering_connection.partner.id
  auto_accept               = true
  tags                      = { Name = "theirs" }
}

# A table that becomes the main one.
resource "aws_route_table" "partner" {
  provider = aws.partner
  vpc_id   = aws_vpc.partner.id
  route {
    cidr_block                = aws_vpc.main.cidr_block
    vpc_peering_connection_id = aws_vpc_peering_connection_accepter.partner.id
  }
}

resource "aws_main_route_table_association" "partner" {
  provider       = aws.partner
  vpc_id         = aws_vpc.partner.id
  route_table_id = aws_route_table.partner.id
}
