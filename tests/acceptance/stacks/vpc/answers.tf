# What is asked about the networks.

data "aws_vpc" "main" {
  cidr_block = aws_vpc.main.cidr_block
}

data "aws_subnets" "public" {
  filter {
    name   = "vpc-id"
    values = [aws_vpc.main.id]
  }
  tags       = { Name = "public-*" }
  depends_on = [aws_subnet.public]
}

data "aws_route_table" "public" {
  subnet_id = aws_route_table_association.public[0].subnet_id
}

data "aws_security_group" "web" {
  vpc_id = aws_vpc.main.id
  name   = aws_security_group.web.name
}

data "aws_nat_gateway" "nat" {
  subnet_id = aws_nat_gateway.nat.subnet_id
  state     = "available"
}

data "aws_network_interface" "spare" {
  filter {
    name   = "association.public-ip"
    values = [aws_eip.spare.public_ip]
  }
}

data "aws_vpc_peering_connection" "both" {
  vpc_id      = aws_vpc_peering_connection.both.vpc_id
  peer_vpc_id = aws_vpc_peering_connection.both.peer_vpc_id
  status      = "active"
}

data "aws_prefix_list" "gateway" {
  name = aws_vpc_endpoint.gateway.service_name
}

data "aws_vpc_endpoint_service" "interface" {
  service_name = var.interface_service
}

data "aws_vpc_dhcp_options" "names" {
  dhcp_options_id = aws_vpc_dhcp_options_association.names.dhcp_options_id
}

# What the outside reaches of the spare card.
resource "aws_ec2_network_insights_path" "web" {
  source           = aws_internet_gateway.out.id
  destination      = aws_network_interface.spare.id
  protocol         = "tcp"
  destination_port = 5432
  tags             = { Name = var.name }
  depends_on       = [aws_eip.spare]
}

resource "aws_ec2_network_insights_analysis" "web" {
  network_insights_path_id = aws_ec2_network_insights_path.web.id
}
