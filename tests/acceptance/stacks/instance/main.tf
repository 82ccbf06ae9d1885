provider "aws" {}

variable "name" { default = "one" }
variable "ports" {
  type    = list(number)
  default = [22]
}

data "aws_ami" "demo" {
  most_recent = true
  owners      = ["amazon"]
  filter {
    name   = "name"
    values = ["groundfog-*"]
  }
}

resource "aws_key_pair" "key" {
  key_name   = "terraform"
  public_key = file("${path.module}/key.pub")
}

resource "aws_security_group" "web" {
  name        = "terraform-web"
  description = "what may come in"
  dynamic "ingress" {
    for_each = var.ports
    content {
      from_port   = ingress.value
      to_port     = ingress.value
      protocol    = "tcp"
      cidr_blocks = ["0.0.0.0/0"]
    }
  }
  egress {
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_instance" "web" {
  ami                    = data.aws_ami.demo.id
  instance_type          = "g1.tiny"
  key_name               = aws_key_pair.key.key_name
  vpc_security_group_ids = [aws_security_group.web.id]
  user_data              = "#!/bin/sh\necho hello"
  metadata_options {
    http_tokens = "required"
  }
  root_block_device {
    volume_size = 2
  }
  tags = { Name = var.name }
}

resource "aws_network_interface" "second" {
  subnet_id       = aws_instance.web.subnet_id
  security_groups = [aws_security_group.web.id]
}

resource "aws_network_interface_attachment" "second" {
  instance_id          = aws_instance.web.id
  network_interface_id = aws_network_interface.second.id
  device_index         = 1
}

output "id" { value = aws_instance.web.id }
