# A network in two zones, with a second range, IPv6 and names of its own.

resource "aws_vpc" "main" {
  cidr_block                           = "10.20.0.0/16"
  enable_dns_hostnames                 = true
  enable_network_address_usage_metrics = var.changed
  assign_generated_ipv6_cidr_block     = true
  tags                                 = { Name = var.name }
}

resource "aws_vpc_ipv4_cidr_block_association" "more" {
  vpc_id     = aws_vpc.main.id
  cidr_block = "10.21.0.0/16"
}

resource "aws_vpc_dhcp_options" "names" {
  domain_name          = var.changed ? "corp.example" : "example.com"
  domain_name_servers  = ["AmazonProvidedDNS"]
  ntp_servers          = ["169.254.169.123"]
  netbios_name_servers = ["10.20.0.20"]
  netbios_node_type    = 2
  tags                 = { Name = var.name }
}

resource "aws_vpc_dhcp_options_association" "names" {
  vpc_id          = aws_vpc.main.id
  dhcp_options_id = aws_vpc_dhcp_options.names.id
}

resource "aws_subnet" "public" {
  count                           = 2
  vpc_id                          = aws_vpc.main.id
  availability_zone               = local.zones[count.index]
  cidr_block                      = cidrsubnet(aws_vpc.main.cidr_block, 8, count.index)
  ipv6_cidr_block                 = cidrsubnet(aws_vpc.main.ipv6_cidr_block, 8, count.index)
  map_public_ip_on_launch         = !var.changed
  assign_ipv6_address_on_creation = true
  tags                            = { Name = "public-${count.index}" }
}

resource "aws_subnet" "private" {
  count                                       = 2
  vpc_id                                      = aws_vpc_ipv4_cidr_block_association.more.vpc_id
  availability_zone                           = local.zones[count.index]
  cidr_block                                  = cidrsubnet(aws_vpc_ipv4_cidr_block_association.more.cidr_block, 8, count.index)
  private_dns_hostname_type_on_launch         = var.changed ? "resource-name" : "ip-name"
  enable_resource_name_dns_a_record_on_launch = var.changed
  tags                                        = { Name = "private-${count.index}" }
}

resource "aws_subnet" "six" {
  vpc_id                                         = aws_vpc.main.id
  availability_zone                              = local.zones[1]
  cidr_block                                     = cidrsubnet(aws_vpc.main.cidr_block, 8, 6)
  ipv6_cidr_block                                = cidrsubnet(aws_vpc.main.ipv6_cidr_block, 8, 6)
  assign_ipv6_address_on_creation                = !var.changed
  private_dns_hostname_type_on_launch            = "resource-name"
  enable_resource_name_dns_aaaa_record_on_launch = true
}

# What is named below is in these: no address that is chosen by chance is.
resource "aws_ec2_subnet_cidr_reservation" "kept" {
  subnet_id        = aws_subnet.private[0].id
  cidr_block       = cidrsubnet(aws_subnet.private[0].cidr_block, 4, 15)
  reservation_type = "explicit"
}

resource "aws_ec2_subnet_cidr_reservation" "prefixes" {
  subnet_id        = aws_subnet.private[1].id
  cidr_block       = "10.21.1.64/26"
  reservation_type = "prefix"
}

# -- cards ------------------------------------------------------------------------

resource "aws_network_interface" "spare" {
  subnet_id          = aws_subnet.public[1].id
  private_ips        = var.changed ? ["10.20.1.10", "10.20.1.11", "10.20.1.12"] : ["10.20.1.10", "10.20.1.11"]
  ipv6_address_count = 1
  security_groups    = var.changed ? [aws_security_group.app.id, aws_security_group.web.id] : [aws_security_group.app.id]
  source_dest_check  = var.changed
  description        = var.name
}

resource "aws_network_interface" "prefixed" {
  subnet_id     = aws_ec2_subnet_cidr_reservation.prefixes.subnet_id
  ipv4_prefixes = var.changed ? ["10.21.1.64/28", "10.21.1.80/28"] : ["10.21.1.64/28"]
}

resource "aws_network_interface_sg_attachment" "prefixed" {
  network_interface_id = aws_network_interface.prefixed.id
  security_group_id    = aws_security_group.app.id
}

resource "aws_network_interface_permission" "prefixed" {
  network_interface_id = aws_network_interface.prefixed.id
  aws_account_id       = data.aws_caller_identity.partner.account_id
  permission           = "INSTANCE-ATTACH"
}

resource "aws_eip" "spare" {
  domain                    = "vpc"
  network_interface         = aws_network_interface.spare.id
  associate_with_private_ip = "10.20.1.11"
  tags                      = { Name = var.name }
  depends_on                = [aws_internet_gateway.out]
}

resource "aws_eip" "moving" {
  domain = "vpc"
}

resource "aws_eip_association" "moving" {
  allocation_id        = aws_eip.moving.id
  network_interface_id = aws_network_interface.spare.id
  private_ip_address   = var.changed ? "10.20.1.12" : "10.20.1.10"
}
