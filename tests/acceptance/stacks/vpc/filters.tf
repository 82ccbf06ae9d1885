# What may pass.

resource "aws_ec2_managed_prefix_list" "offices" {
  name           = "offices"
  address_family = "IPv4"
  max_entries    = var.changed ? 6 : 5
  tags           = { Name = var.name }
  dynamic "entry" {
    for_each = local.offices
    content {
      cidr        = entry.value
      description = "an office"
    }
  }
}

resource "aws_ec2_managed_prefix_list" "branches" {
  name           = "branches"
  address_family = "IPv4"
  max_entries    = 5
}

resource "aws_ec2_managed_prefix_list_entry" "branches" {
  count          = var.changed ? 3 : 2
  prefix_list_id = aws_ec2_managed_prefix_list.branches.id
  cidr           = cidrsubnet("203.0.113.0/24", 4, count.index)
  description    = "branch ${count.index}"
}

resource "aws_security_group" "web" {
  name        = "web"
  description = "what may come in"
  vpc_id      = aws_vpc.main.id
  tags        = { Name = var.name }
  dynamic "ingress" {
    for_each = local.ports
    content {
      from_port   = ingress.value
      to_port     = ingress.value
      protocol    = "tcp"
      cidr_blocks = ["0.0.0.0/0"]
    }
  }
  ingress {
    description     = "from the offices of ${var.name}"
    from_port       = 22
    to_port         = 22
    protocol        = "tcp"
    prefix_list_ids = [aws_ec2_managed_prefix_list.offices.id]
  }
  ingress {
    from_port = 8
    to_port   = -1
    protocol  = "icmp"
    self      = true
  }
  egress {
    from_port        = 0
    to_port          = 0
    protocol         = "-1"
    cidr_blocks      = ["0.0.0.0/0"]
    ipv6_cidr_blocks = ["::/0"]
  }
}

resource "aws_security_group" "app" {
  name_prefix = "app-"
  vpc_id      = aws_vpc.main.id
}

resource "aws_vpc_security_group_ingress_rule" "app" {
  security_group_id            = aws_security_group.app.id
  referenced_security_group_id = aws_security_group.web.id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = var.changed ? 5433 : 5432
  description                  = "the database of ${var.name}"
  tags                         = { Name = var.name }
}

resource "aws_vpc_security_group_ingress_rule" "branches" {
  security_group_id = aws_security_group.app.id
  prefix_list_id    = aws_ec2_managed_prefix_list.branches.id
  ip_protocol       = "udp"
  from_port         = 500
  to_port           = 500
}

resource "aws_vpc_security_group_egress_rule" "app" {
  security_group_id = aws_security_group.app.id
  cidr_ipv6         = "::/0"
  ip_protocol       = "-1"
}

resource "aws_security_group_rule" "pings" {
  type              = "ingress"
  security_group_id = aws_security_group.app.id
  protocol          = "icmpv6"
  from_port         = 128
  to_port           = 0
  ipv6_cidr_blocks  = ["::/0"]
  description       = "pings of ${var.name}"
}

resource "aws_security_group" "peer" {
  name   = "peer"
  vpc_id = aws_vpc.other.id
}

# A group of the other network, by the peering.
resource "aws_security_group_rule" "peer" {
  type                     = "ingress"
  security_group_id        = aws_security_group.peer.id
  protocol                 = "tcp"
  from_port                = 22
  to_port                  = 22
  source_security_group_id = aws_security_group.app.id
  depends_on               = [aws_vpc_peering_connection.both]
}

resource "aws_network_acl" "private" {
  vpc_id     = aws_vpc.main.id
  subnet_ids = var.changed ? [aws_subnet.private[0].id] : aws_subnet.private[*].id
  tags       = { Name = var.name }
  ingress {
    rule_no    = 100
    action     = "allow"
    protocol   = "tcp"
    cidr_block = aws_vpc.main.cidr_block
    from_port  = 0
    to_port    = 65535
  }
  dynamic "ingress" {
    for_each = var.changed ? [1] : []
    content {
      rule_no    = 50
      action     = "deny"
      protocol   = "icmp"
      icmp_type  = 8
      icmp_code  = -1
      cidr_block = "0.0.0.0/0"
      from_port  = 0
      to_port    = 0
    }
  }
  egress {
    rule_no    = 100
    action     = "allow"
    protocol   = "-1"
    cidr_block = "0.0.0.0/0"
    from_port  = 0
    to_port    = 0
  }
  egress {
    rule_no         = 110
    action          = "allow"
    protocol        = "-1"
    ipv6_cidr_block = "::/0"
    from_port       = 0
    to_port         = 0
  }
}

resource "aws_network_acl" "loose" {
  vpc_id = aws_vpc.main.id
  lifecycle { ignore_changes = [ingress, egress, subnet_ids] }
}

resource "aws_network_acl_rule" "replies" {
  network_acl_id = aws_network_acl.loose.id
  rule_number    = 200
  rule_action    = "allow"
  protocol       = "tcp"
  cidr_block     = "0.0.0.0/0"
  from_port      = 1024
  to_port        = var.changed ? 32767 : 65535
}

resource "aws_network_acl_rule" "pings" {
  network_acl_id  = aws_network_acl.loose.id
  egress          = true
  rule_number     = 210
  rule_action     = "allow"
  protocol        = "58"
  ipv6_cidr_block = "::/0"
  icmp_type       = 128
  icmp_code       = -1
}

resource "aws_network_acl_association" "six" {
  network_acl_id = aws_network_acl.loose.id
  subnet_id      = aws_subnet.six.id
}

# -- what comes with a network, taken over ----------------------------------------

resource "aws_default_security_group" "other" {
  vpc_id = aws_vpc.other.id
  dynamic "ingress" {
    for_each = var.changed ? [1] : []
    content {
      from_port = 0
      to_port   = 0
      protocol  = -1
      self      = true
    }
  }
}

resource "aws_default_network_acl" "other" {
  default_network_acl_id = aws_vpc.other.default_network_acl_id
  ingress {
    rule_no    = 100
    action     = var.changed ? "deny" : "allow"
    protocol   = -1
    cidr_block = "0.0.0.0/0"
    from_port  = 0
    to_port    = 0
  }
  tags = { Name = var.name }
  lifecycle { ignore_changes = [subnet_ids] }
}

resource "aws_default_route_table" "main" {
  default_route_table_id = aws_vpc.main.default_route_table_id
  route {
    cidr_block     = "0.0.0.0/0"
    nat_gateway_id = aws_nat_gateway.nat.id
  }
  tags = { Name = var.name }
}
